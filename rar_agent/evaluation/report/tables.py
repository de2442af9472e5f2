"""Tables of a report, the same for HTML and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rar_agent.evaluation.metrics.metric import Metric
from rar_agent.evaluation.report.chart import Bar, Chart
from rar_agent.evaluation.report.samples import style_of
from rar_agent.evaluation.report.svg import number
from rar_agent.evaluation.simulated import PREFIX
from rar_agent.evaluation.suite import Way

Titles = Mapping[Way, str]
"""How ways are called."""


def titles_of(model: str | None) -> Titles:
    """How ways are called; figures of a simulated model say so.

    Args:
        model: That ranks.
    """
    by = f" ({PREFIX.rstrip(':')})" if model and model.startswith(PREFIX) else ""
    return {
        "knn": "nearest exemplars",
        "retrieval": "retrieval",
        "ranked": f"ranked{by}",
        "alone": f"model alone{by}",
    }


@dataclass(frozen=True)
class Cell:
    """Of a table.

    Attributes:
        text: What it says.
        note: Said smaller below: a count, a reason.
        between: Its interval, said before the note.
        bar: The same, drawn.
    """

    text: str
    note: str = ""
    between: str = ""
    bar: Bar | None = None

    @property
    def notes(self) -> str:
        """All that is said smaller."""
        return ", ".join(filter(None, [self.between, self.note]))


@dataclass(frozen=True)
class Table:
    """With a head; a row's first entry is its name.

    Attributes:
        caption: What it shows.
        head: Names of the columns.
        rows: A name each, and cells.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[tuple[str | Cell, ...]]


def told(value: float, unit: str) -> str:
    """A value with its unit."""
    match unit:
        case "share":
            return f"{100 * value:.1f} %"
        case "difference":
            return f"{100 * value:+.1f} points"
        case "cosine":
            return f"{value:.3f}"
        case "dollars":
            return f"${value:,.4g} for 1,000 images"
    text = f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
    return f"{text} {unit}"


def ranged(low: float | None, high: float | None, unit: str) -> str:
    """An interval; what its unit is of, the value beside it says. Empty: there is none."""
    if low is None or high is None:
        return ""
    return " to ".join(told(end, unit).removesuffix(" for 1,000 images") for end in (low, high))


def cell(metric: Metric | None) -> Cell:
    """A metric's value with its interval, or why there is none."""
    if metric is None:
        return Cell("-")
    if metric.value is None:
        return Cell("-", metric.why)
    note = ", ".join(filter(None, [f"n = {metric.n:,}", metric.note]))
    bar = None
    if metric.unit == "share":
        bar = Bar(metric.value, metric.low, metric.high, style=style_of(metric.way))
    between = ranged(metric.low, metric.high, metric.unit)
    return Cell(told(metric.value, metric.unit), note, between, bar)


def metric_tables(metrics: Sequence[Metric], titles: Titles) -> list[Table]:
    """A table a metric, in the order in which they come: cells down, ways across."""
    return [
        _table(name, [metric for metric in metrics if metric.name == name], titles)
        for name in dict.fromkeys(metric.name for metric in metrics)
    ]


def _table(name: str, metrics: Sequence[Metric], titles: Titles) -> Table:
    ways = list(dict.fromkeys(metric.way for metric in metrics))
    found = {(metric.cell, metric.way): metric for metric in metrics}
    cells = dict.fromkeys(metric.cell for metric in metrics)
    interval = any(metric.low is not None for metric in metrics)
    better = next((f", {metric.better} is better" for metric in metrics if metric.better), "")
    return Table(
        name + (", with 95 % intervals" if interval else "") + better,
        ["", *(titles[way] if way else "all ways" for way in ways)],
        [(one, *(cell(found.get((one, way))) for way in ways)) for one in cells],
    )


def chart_table(chart: Chart) -> Table:
    """The numbers that a chart draws."""
    points = [(series, point) for series in chart.series for point in series.points]
    interval = any(point.low is not None for _, point in points)
    counted = any(point.n is not None for _, point in points)
    rows: list[tuple[str | Cell, ...]] = []
    for series, point in points:
        cells = [number(point.x, chart.x), number(point.y, chart.y)]
        if interval:
            ends = (point.low, point.high)
            cells.append(" to ".join(number(end, chart.y) for end in ends if end is not None))
        if counted:
            cells.append("" if point.n is None else f"{point.n:,}")
        name = f"{series.name}, {point.label}" if point.label else series.name
        rows.append((name, *map(Cell, cells)))
    head = ["series", chart.x.name, chart.y.name, *["interval"] * interval, *["n"] * counted]
    return Table(f"{chart.title}: numbers", head, rows)


def markdown(table: Table) -> str:
    """As Markdown; what it holds is text, whatever is in it."""
    lines = [_line(table.head), _line(["---"] * len(table.head))]
    lines += [_line([_said(entry) for entry in row]) for row in table.rows]
    return "\n".join([f"{escaped(table.caption)}:", "", *lines])


def _said(entry: str | Cell) -> str:
    if isinstance(entry, str):
        return entry
    return f"{entry.text} ({entry.notes})" if entry.notes else entry.text


def _line(entries: Iterable[str]) -> str:
    return f"| {' | '.join(entry if entry == '---' else escaped(entry) for entry in entries)} |"


def escaped(text: str) -> str:
    """Text that Markdown takes as such."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#~&" else c for c in " ".join(text.split()))
