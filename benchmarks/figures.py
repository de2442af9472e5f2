"""What benchmarks measure, as figures that compare: with a target, a peer, or an earlier run."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

OURS = "rar_agent"
Better = Literal["more", "less", ""]
_LESS = ("s", "ms", "MB")
"""Units of which less is better, and what they begin with: ms an image."""

NOISE = 0.05
"""Share by which a figure may be worse than an earlier one before it counts, however steady."""


@dataclass(frozen=True)
class Figure:
    """One thing that was measured, of one program.

    Attributes:
        name: What; the same for all that are compared.
        unit: Of the values.
        values: Of each repeat, in turn with those it is compared with; none: it was left out.
        who: `rar_agent`, a peer, or what bounds it.
        better: Whether more or less is better, where one is; default: as of the unit.
        target: What the median has to reach, where something is promised.
        note: Why it was left out, or what else has to be known.
    """

    name: str
    unit: str
    values: tuple[float, ...] = ()
    who: str = OURS
    better: Better = ""
    target: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.better:
            first = self.unit.partition(" ")[0]
            less: Better = "less" if first in _LESS else ""
            object.__setattr__(self, "better", "more" if first.endswith("/s") else less)

    @property
    def median(self) -> float:
        """Of the values; there has to be one."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None: there is none, or nothing was measured."""
        if self.target is None or not self.values:
            return None
        more = self.better == "more"
        return self.median >= self.target if more else self.median <= self.target

    def worse_than(self, earlier: Figure) -> float | None:
        """How many times worse than an earlier run, where that is beyond both runs' spread.

        Args:
            earlier: The same figure of it.

        Returns:
            More than 1; None: it is not worse, or nothing says so.
        """
        if not (self.better and self.values and earlier.values):
            return None
        if self.better == "more":
            apart = max(self.values) < min(earlier.values)
            times = earlier.median / self.median if self.median else float("inf")
        else:
            apart = min(self.values) > max(earlier.values)
            times = self.median / earlier.median if earlier.median else float("inf")
        return times if apart and times > 1 + NOISE else None


@dataclass(frozen=True)
class Setup:
    """How benchmarks are run.

    Attributes:
        repeats: Of each measurement, in turns with what it is compared with.
        quick: Whether they are only tried: few images, few entries.
        seed: Of all that is drawn.
        peers: Python programs of the environments of `clip-retrieval` and `langchain-community`.
        tell: Told in words how far it is.
    """

    repeats: int = 3
    quick: bool = False
    seed: int = 0
    peers: Mapping[str, Path] = field(default_factory=dict)
    tell: Callable[[str], None] = print


def ratio(
    name: str, of: Figure, by: Figure, better: Better = "more", target: float | None = None
) -> Figure:
    """How many times the one is the other, turn by turn."""
    values = tuple(one / other for one, other in zip(of.values, by.values, strict=True))
    note = f"{of.who} / {by.who}" if of.who != by.who else ""
    return Figure(name, "x", values, better=better, target=target, note=note)


def best(figures: Sequence[Figure]) -> Figure | None:
    """The figure with the best median; None where nothing was measured."""
    known = [figure for figure in figures if figure.values]
    if not known:
        return None
    choose = max if known[0].better == "more" else min
    return choose(known, key=lambda figure: figure.median)


def joined(several: Sequence[Sequence[Figure]]) -> list[Figure]:
    """The same figures of several repeats, with the values of all."""
    return [
        replace(same[0], values=tuple(value for one in same for value in one.values))
        for same in zip(*several, strict=True)
    ]


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Figures as plain data."""
    return [asdict(figure) for figure in figures]


def from_json(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Figures of plain data."""
    return [Figure(**{**row, "values": tuple(row["values"])}) for row in rows]


def shown(value: float) -> str:
    """A value with as many digits as say something."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def spread(figure: Figure) -> str:
    """Least and most of several values."""
    if len(figure.values) < 2:
        return ""
    return f"{shown(min(figure.values))} to {shown(max(figure.values))}"


def write(figures: Sequence[Figure]) -> None:
    """Print figures, a line each."""
    for one in figures:
        if one.values:
            around = f" ({spread(one)})" if spread(one) else ""
            said = f"{shown(one.median)} {one.unit}{around}"
        else:
            said = f"left out: {one.note}"
        sys.stdout.write(f"{one.name:44} {one.who:28} {said}\n")
    sys.stdout.flush()
