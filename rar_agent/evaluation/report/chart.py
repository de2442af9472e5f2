"""What a chart holds; svg.py draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Point:
    """One of a series.

    Attributes:
        x: In the chart's unit.
        y: In the chart's unit.
        low: End of its interval; None: it has none.
        high: The other end.
        label: What it is, where that is not its x.
        n: Images behind it; None: not known.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    label: str = ""
    n: int | None = None


@dataclass(frozen=True)
class Series:
    """Points of one name.

    Attributes:
        name: For the legend.
        points: In order of x.
        style: Of its colour and mark: a way has the same in every chart.
        line: Whether they are joined.
        marks: Whether points have marks.
    """

    name: str
    points: Sequence[Point]
    style: int = 0
    line: bool = True
    marks: bool = True


@dataclass(frozen=True)
class Axis:
    """Of a chart.

    Attributes:
        name: What it measures, with the unit.
        percent: Whether values are shares, 0 to 1, and read as percent.
        ticks: Where it is marked; none: at round numbers.
        log: Whether it is logarithmic; values are positive then.
        whole: Whether it shows 0 to 1, whatever the values.
    """

    name: str
    percent: bool = False
    ticks: Sequence[float] = ()
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Chart:
    """What is drawn, and said of it.

    Attributes:
        key: Unique on the page.
        title: For people.
        says: How it reads, in a sentence or two.
        x: Its horizontal axis.
        y: Its vertical axis.
        series: At least one.
        diagonal: Whether the line from 0, 0 to 1, 1 is drawn.
    """

    key: str
    title: str
    says: str
    x: Axis
    y: Axis
    series: Sequence[Series] = field(default_factory=tuple)
    diagonal: bool = False


@dataclass(frozen=True)
class Bar:
    """A value drawn small, in a cell of a table.

    Attributes:
        value: How far it reaches from 0.
        low: End of its interval; None: it has none.
        high: The other end.
        reach: Where its track ends, of both sides of 0 if it may be negative.
        signed: Whether it may be.
        style: Of its colour, as of a series.
    """

    value: float
    low: float | None = None
    high: float | None = None
    reach: float = 1.0
    signed: bool = False
    style: int = 0
