"""Charts as inline SVG: lines with intervals, and bars for tables.

Drawn here because a report needs two kinds of chart that follow the page's colours, light or dark;
the plotting libraries are heavy and draw in fixed ones. Text goes through ElementTree, which
escapes it. Series differ by the shape of their marks too, not by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from rar_agent.evaluation.report.chart import Axis, Bar, Chart, Series

_WIDTH, _HEIGHT = 560, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 68, 24, 12, 46
_INSET = 16
"""Between the axis and the first point, where the axis does not begin with a point of its own."""
_DODGE = 6
"""Between series whose points share their places, so that each interval is seen."""
_BAR_WIDTH, _BAR_HEIGHT = 120, 10
_STEPS = (1, 2, 2.5, 5, 10)
SHAPES = (
    "M-4,0a4,4 0 1 0 8,0a4,4 0 1 0 -8,0Z",  # circle
    "M-4,-4h8v8h-8Z",  # square
    "M0,-5L5,4H-5Z",  # triangle
    "M0,-5.5L5.5,0L0,5.5L-5.5,0Z",  # diamond
    "M-4,-4L4,4M4,-4L-4,4",  # cross
    "M0,-5V5M-5,0H5",  # plus
)


def number(value: float, axis: Axis) -> str:
    """A value as its axis says it."""
    return f"{100 * value:.1f} %" if axis.percent else f"{value:,.4g}"


def marker(style: int) -> Markup:
    """The mark of a series in the legend, by its style."""
    svg = Element("svg", {"class": "mark", "viewBox": "-8 -8 16 16", "aria-hidden": "true"})
    SubElement(svg, "path", {"class": f"s{style % 6} dot", "d": SHAPES[style % 6]})
    return _markup(svg)


def draw_bar(bar: Bar) -> Markup:
    """A bar as SVG; what it says is text beside it."""
    svg = Element(
        "svg",
        {
            "class": f"bar s{bar.style % 6}",
            "viewBox": f"0 0 {_BAR_WIDTH} {_BAR_HEIGHT}",
            "aria-hidden": "true",
        },
    )
    least = -bar.reach if bar.signed else 0.0

    def across(value: float) -> float:
        return round(_BAR_WIDTH * (value - least) / (bar.reach - least), 1)

    middle = _BAR_HEIGHT / 2
    _path(svg, "track", [(0, middle), (_BAR_WIDTH, middle)])
    _path(svg, "length", [(across(0), middle), (across(bar.value), middle)])
    if bar.low is not None and bar.high is not None:
        _path(svg, "whisker", [(across(bar.low), middle), (across(bar.high), middle)])
    if bar.signed:
        _path(svg, "zero", [(across(0), 0), (across(0), _BAR_HEIGHT)])
    return _markup(svg)


def draw(chart: Chart) -> Markup:
    """A chart as SVG, with a name for screen readers; its numbers belong in a table beside it."""
    points = [point for series in chart.series for point in series.points]
    xs = [point.x for point in points]
    ys = [y for p in points for y in (p.y, p.low, p.high) if y is not None]
    inset = 0 if chart.x.whole else _INSET
    across = _Scale(chart.x, xs, _LEFT + inset, _WIDTH - _RIGHT - inset)
    up = _Scale(chart.y, ys, _HEIGHT - _BOTTOM, _TOP)
    svg = Element(
        "svg",
        {
            "class": "chart",
            "viewBox": f"0 0 {_WIDTH} {_HEIGHT}",
            "role": "img",
            "aria-label": f"{chart.title}: {chart.y.name} by {chart.x.name}",
        },
    )
    _axes(svg, chart, across, up)
    if chart.diagonal:
        _path(svg, "diagonal", [(across(0), up(0)), (across(1), up(1))])
    for position, series in enumerate(chart.series):
        _draw_series(svg, chart, position, series, across, up)
    return _markup(svg)


class _Scale:
    """From values to pixels, with round ticks."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float) -> None:
        self._log = axis.log
        values = [*values, *axis.ticks, *((0.0, 1.0) if axis.whole else ())]
        low, high = min(values, default=0.0), max(values, default=1.0)
        self.ticks = list(axis.ticks) or ([] if axis.log else _round_ticks(low, high))
        if axis.log and not axis.ticks:
            low_power, high_power = math.floor(math.log10(low)), math.ceil(math.log10(high))
            self.ticks = [10.0**power for power in range(low_power, high_power + 1)]
        low, high = min([low, *self.ticks]), max([high, *self.ticks])
        self._low, self._high = self._at(low), self._at(high)
        self._start, self._end = start, end

    def _at(self, value: float) -> float:
        return math.log(value) if self._log else value

    def __call__(self, value: float) -> float:
        span = self._high - self._low
        share = (self._at(value) - self._low) / span if span else 0.5
        return round(self._start + share * (self._end - self._start), 1)


def _round_ticks(low: float, high: float) -> list[float]:
    """About five round numbers that enclose the values."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(power * factor for factor in _STEPS if span / (power * factor) <= 5.001)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 12) for i in range(first, last + 1)]


def _axes(svg: Element, chart: Chart, across: _Scale, up: _Scale) -> None:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for tick in up.ticks:
        _path(svg, "grid", [(_LEFT, up(tick)), (right, up(tick))])
        _text(svg, _LEFT - 8, up(tick) + 4, _tick(tick, chart.y), "end")
    for tick in across.ticks:
        _path(svg, "tick", [(across(tick), bottom), (across(tick), bottom + 5)])
        _text(svg, across(tick), bottom + 19, _tick(tick, chart.x), "middle")
    _path(svg, "axis", [(_LEFT, _TOP), (_LEFT, bottom), (right, bottom)])
    _text(svg, (_LEFT + right) / 2, _HEIGHT - 8, chart.x.name, "middle")
    _text(svg, 0, 0, chart.y.name, "middle", f"translate(12 {(_TOP + bottom) / 2}) rotate(-90)")


def _draw_series(
    svg: Element, chart: Chart, position: int, series: Series, across: _Scale, up: _Scale
) -> None:
    style = series.style % 6
    aside = _DODGE * (position - (len(chart.series) - 1) / 2) if chart.x.ticks else 0.0
    group = SubElement(svg, "g", {"class": f"s{style}"})
    if series.line and len(series.points) > 1:
        _path(group, "line", [(across(p.x) + aside, up(p.y)) for p in series.points])
    for point in series.points if series.marks else ():
        x = across(point.x) + aside
        if point.low is not None and point.high is not None:
            _path(group, "whisker", [(x, up(point.low)), (x, up(point.high))])
        place = {"d": SHAPES[style], "transform": f"translate({x:g} {up(point.y)})"}
        dot = SubElement(group, "path", {"class": "dot", **place})
        said = point.label or number(point.x, chart.x)
        SubElement(dot, "title").text = f"{series.name}, {said}: {number(point.y, chart.y)}"


def _tick(value: float, axis: Axis) -> str:
    return f"{100 * value:.3g} %" if axis.percent else f"{value:,.4g}"


def _path(parent: Element, kind: str, points: Sequence[tuple[float, float]]) -> None:
    joined = "L".join(f"{x:g},{y:g}" for x, y in points)
    SubElement(parent, "path", {"class": kind, "d": f"M{joined}"})


def _text(
    svg: Element, x: float, y: float, text: str, anchor: str, transform: str | None = None
) -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor}
    if transform:
        place["transform"] = transform
    SubElement(svg, "text", place).text = text


def _markup(element: Element) -> Markup:
    return Markup(tostring(element, encoding="unicode"))  # noqa: S704 - ElementTree escapes
