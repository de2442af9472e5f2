"""A figure with its interval, and what has to be known of a data set to make it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rar_agent.evaluation.intervals import UNKNOWN, Interval
from rar_agent.evaluation.suite import Way

Unit = Literal["share", "cosine", "ms", "tokens", "dollars", "difference"]


class Metric(BaseModel):
    """One figure of one way in one cell, or of cells that differ by their seed alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    way: Way | None
    """None where it belongs to all ways together, as latency."""
    cell: str
    """Name of the cell, `4-shot, seed 1`, or of the group, `4-shot`."""
    cells: int = 1
    """Cells that it is over."""
    value: float | None = None
    """None where it cannot be computed; see `why`."""
    low: float | None = None
    """Of the 95 % interval; None where so few images have none."""
    high: float | None = None
    n: int = 0
    """Records that it is made of."""
    unit: Unit = "share"
    """share: 0 to 1; difference: of shares, -1 to 1; dollars: US dollars for 1,000 images."""
    better: Literal["higher", "lower", ""] = ""
    why: str = ""
    """Why there is no value."""
    note: str = ""
    """What has to be said beside the value."""
    formula: str = ""
    """What it is, and whose definition."""
    interval: str = ""
    """How the interval was made, and whose formula."""


class Facts(BaseModel):
    """What the records do not say."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    known: dict[str, int] = Field(default_factory=dict)
    """Categories that a cell's memory knows, by cell."""
    rare: frozenset[str] = frozenset()
    """Names of categories that count as rare."""
    failed: dict[str, int] = Field(default_factory=dict)
    """Images that could not be answered at all, by cell; none of them has a record."""
    annotations: dict[str, Any] = Field(default_factory=dict)
    """All that is around in images of boxes, see `evaluation.annotations`; empty: what the records
    say."""
    lost: bool = False
    """Whether there are annotations, which are not in the run's folder any more."""


@dataclass(frozen=True)
class Kind:
    """What a metric is, wherever it is measured."""

    name: str
    formula: str
    interval: str
    unit: Unit = "share"
    better: Literal["higher", "lower", ""] = "higher"

    def found(
        self, value: float, interval: Interval = UNKNOWN, n: int = 0, note: str = ""
    ) -> Figure:
        """A figure of this kind."""
        return Figure(self, value, interval, n, "", note)

    def missing(self, why: str, n: int = 0) -> Figure:
        """No figure, and why not."""
        return Figure(self, None, UNKNOWN, n, why, "")


@dataclass(frozen=True)
class Figure:
    """A value of a kind; `measure` says of which way and cell."""

    kind: Kind
    value: float | None
    interval: Interval
    n: int
    why: str
    note: str

    def of(self, way: Way | None, cell: str, cells: int) -> Metric:
        """As it is told."""
        kind = self.kind
        low, high = (None if limit != limit else limit for limit in self.interval)  # nan
        return Metric(
            name=kind.name, way=way, cell=cell, cells=cells, value=self.value, low=low, high=high,
            n=self.n, unit=kind.unit, better=kind.better, why=self.why, note=self.note,
            formula=kind.formula, interval=kind.interval,
        )  # fmt: skip
