"""From metrics and curves to charts and tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from rar_agent.evaluation.metrics import Metric
from rar_agent.evaluation.metrics.curves import CategoryFigure, Curves
from rar_agent.evaluation.report.chart import Axis, Bar, Chart, Point, Series
from rar_agent.evaluation.report.samples import WAYS, style_of
from rar_agent.evaluation.report.tables import Cell, Table, Titles, ranged, told
from rar_agent.evaluation.suite import Way

_ACCURACY = Axis("top-1", percent=True)
_SENT = Axis("tokens sent for an image")
_CATEGORIES = r"(\d+) categories"
_WORST = 30
"""Categories that are shown at once."""
_LISTED = 1_000
"""Categories that are listed at all."""
_POINTS = 200
"""Points of a curve; more cannot be told apart."""


def charts_of(metrics: Sequence[Metric], curves: Curves, titles: Titles) -> list[Chart]:
    """Those that there is something to draw for.

    Args:
        metrics: Over seeds.
        curves: Beside them.
        titles: How ways are called.
    """
    top_1, sent = (
        [metric for metric in metrics if metric.name == name and metric.value is not None]
        for name in ("top-1", "input tokens")
    )
    return [
        *_by_count(top_1, r"(\d+)-shot", "shots", "exemplars a category", titles),
        *_by_count(top_1, _CATEGORIES, "growing", "categories that are known", titles),
        *_by_count(sent, _CATEGORIES, "reading", "categories that are known", titles, _SENT),
        *_by_count(top_1, r"k = (\d+)", "candidates", "candidates", titles),
        *_costs(top_1, metrics, titles),
        *_by_category(curves, titles),
        *_risk_coverage(curves, titles),
        *_reliability(curves, titles),
    ]


def _by_count(
    metrics: Sequence[Metric],
    group: str,
    key: str,
    axis: str,
    titles: Titles,
    y: Axis = _ACCURACY,
) -> Iterator[Chart]:
    found = [(re.fullmatch(group, metric.cell), metric) for metric in metrics]
    placed = [(int(match[1]), metric) for match, metric in found if match]
    counts = sorted({count for count, _ in placed})
    if len(counts) < 2:
        return
    series = [
        Series(
            titles[way],
            [
                Point(count, metric.value, metric.low, metric.high, n=metric.n)
                for count, metric in sorted(placed, key=lambda one: one[0])
                if metric.way == way and metric.value is not None
            ],
            style_of(way),
        )
        for way in WAYS
    ]
    yield Chart(
        key,
        f"{'Accuracy' if y is _ACCURACY else 'Tokens'} by {axis}",
        "Bars are 95 % intervals.",
        Axis(axis, ticks=counts, log=True),
        y,
        [one for one in series if one.points],
    )


def _costs(top_1: Sequence[Metric], metrics: Sequence[Metric], titles: Titles) -> Iterator[Chart]:
    """By dollars where they are known, else by tokens; ways that ask no model cost nothing."""
    for name, axis in (
        ("cost", "US dollars for 1,000 images"),
        ("input tokens", _SENT.name),
    ):
        spent = {
            (m.cell, m.way): m.value for m in metrics if m.name == name and m.value is not None
        }
        if not any(spent.values()):
            continue
        series = []
        for way in WAYS:
            points = [
                Point(x, metric.value, metric.low, metric.high, metric.cell, metric.n)
                for metric in top_1
                if metric.way == way and metric.value is not None
                if (x := _spent(spent, metric)) is not None
            ]
            points.sort(key=lambda point: point.x)
            series.append(Series(titles[way], points, style_of(way), line=False))
        yield Chart(
            "costs",
            "Cost against accuracy",
            "What models take; retrieval costs nothing but this machine's time. A point a setting.",
            Axis(axis),
            _ACCURACY,
            [one for one in series if one.points],
        )
        return


def _spent(spent: dict[tuple[str, Way | None], float], metric: Metric) -> float | None:
    if metric.way in ("knn", "retrieval"):
        return 0.0
    return spent.get((metric.cell, metric.way))


def _by_category(curves: Curves, titles: Titles) -> Iterator[Chart]:
    by_way = {way: sorted(one.right for one in curves.categories if one.way == way) for way in WAYS}
    series = [
        Series(
            titles[way],
            [Point(x, y) for x, y in _thinned([(i / len(s), y) for i, y in enumerate(s, 1)])],
            style_of(way),
            marks=False,
        )
        for way, s in by_way.items()
        if s
    ]
    if len({one.name for one in curves.categories}) > 1:
        yield Chart(
            "by-category",
            "Accuracy by category, from the worst to the best",
            "Each way in its own order, over all cells; what is never right is at 0 %.",
            Axis("share of categories", percent=True, whole=True),
            Axis("top-1 of the category", percent=True, whole=True),
            series,
        )


def _risk_coverage(curves: Curves, titles: Titles) -> Iterator[Chart]:
    cells = list(dict.fromkeys(curve.cell for curve in curves.risk_coverage))
    for at, cell in enumerate(cells):
        yield Chart(
            f"risk-{at}",
            f"Risk and coverage, {cell}",
            "The share of errors left when only the surest are answered; lower is better.",
            Axis("coverage: share of images answered", percent=True, whole=True),
            Axis("risk: share of errors among these", percent=True),
            [
                Series(
                    titles[curve.way],
                    [Point(x, y) for x, y in _thinned(curve.points)],
                    style_of(curve.way),
                    marks=False,
                )
                for curve in curves.risk_coverage
                if curve.cell == cell
            ],
        )


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points spread evenly, the last included."""
    step = max(1, -(-len(points) // _POINTS))
    return [*points[: len(points) - 1 : step], *points[-1:]]


def _reliability(curves: Curves, titles: Titles) -> Iterator[Chart]:
    cells = list(dict.fromkeys(curve.cell for curve in curves.reliability))
    for at, cell in enumerate(cells):
        yield Chart(
            f"reliability-{at}",
            f"Reliability, {cell}",
            "How often answers of a probability are right; the dashed line: as often as it says.",
            Axis("probability of the answer", percent=True, whole=True),
            Axis("share that is right", percent=True, whole=True),
            [
                Series(
                    titles[curve.way],
                    [Point(b.confidence, b.right, b.low, b.high, n=b.n) for b in curve.bins],
                    style_of(curve.way),
                )
                for curve in curves.reliability
                if curve.cell == cell
            ],
            diagonal=True,
        )


def category_tables(curves: Curves, way: Way, titles: Titles) -> list[Table]:
    """Accuracy by category: the worst by a way first, then the rest."""
    if not curves.categories:
        return []
    by_name: dict[str, dict[Way, CategoryFigure]] = {}
    for one in curves.categories:
        by_name.setdefault(one.name, {})[one.way] = one
    ways = [one for one in WAYS if any(one in found for found in by_name.values())]
    rank: Callable[[str], tuple[float, str]] = lambda name: (  # noqa: E731
        by_name[name][way].right if way in by_name[name] else 2.0,
        name,
    )
    names = sorted(by_name, key=rank)
    rows: list[tuple[str | Cell, ...]] = [
        (name, *(_cell(by_name[name].get(one), drawn=at < _WORST) for one in ways))
        for at, name in enumerate(names[:_LISTED])
    ]
    head = ["", *(titles[one] for one in ways)]
    of = f"{len(names):,} categories by top-1 of {titles[way]}, over all cells"
    worst = Table(f"The lowest of {of}" if len(names) > _WORST else of, head, rows[:_WORST])
    if len(names) <= _WORST:
        return [worst]
    more = f", to the {_LISTED:,}th" if len(names) > _LISTED else ""
    return [worst, Table(f"The other categories{more}", head, rows[_WORST:])]


def _cell(one: CategoryFigure | None, drawn: bool) -> Cell:
    if one is None:
        return Cell("-")
    bar = Bar(one.right, one.low, one.high, style=style_of(one.way)) if drawn else None
    between = ranged(one.low, one.high, "share")
    return Cell(told(one.right, "share"), f"n = {one.n:,}", between, bar)
