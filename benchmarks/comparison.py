"""What a run found, beside its peers, its targets and an earlier run: tables and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from rich.table import Table

from benchmarks.figures import OURS, Figure, from_json, shown, spread

Found = Mapping[str, Sequence[Figure]]
"""Figures of each part."""

_COLOURS = ("#c2410c", "#64748b")  # ours, others'
_LABEL, _BAR, _VALUE, _ROW = 300, 360, 160, 20


@dataclass(frozen=True)
class Worse:
    """A figure that is worse than an earlier run's, beyond the spread of both."""

    part: str
    now: Figure
    earlier: Figure
    times: float


def found_in(run: Mapping[str, Any]) -> dict[str, list[Figure]]:
    """Figures of a run's file."""
    return {name: from_json(part["figures"]) for name, part in run["parts"].items()}


def worse(now: Found, earlier: Found) -> list[Worse]:
    """What is worse than an earlier run, the worst first."""
    known = {(part, f.name, f.who): f for part, figures in earlier.items() for f in figures}
    found = []
    for part, figures in now.items():
        for figure in figures:
            before = known.get((part, figure.name, figure.who))
            times = figure.worse_than(before) if before else None
            if before and times:
                found.append(Worse(part, figure, before, times))
    return sorted(found, key=lambda one: -one.times)


def beside(figure: Figure, ours: Figure) -> float | None:
    """How many times better ours is; None: it is ours, or nothing is better or worse."""
    if figure.who == OURS or not (figure.better and figure.values and ours.values):
        return None
    over, under = ours.median, figure.median
    if figure.better == "less":
        over, under = under, over
    return over / under if under else None


def table(part: str, figures: Sequence[Figure]) -> Table:
    """A part: each figure, ours beside those of others of the same name."""
    made = Table(title=part, title_justify="left")
    made.add_column("what")
    made.add_column("who")
    for column in ("median", "least to most", "ours is", "target"):
        made.add_column(column, justify="right")
    ours = {figure.name: figure for figure in figures if figure.who == OURS}
    before = ""
    for one in figures:
        name = one.name if one.name != before else ""
        before = one.name
        if not one.values:
            made.add_row(name, one.who, "left out", one.note)
            continue
        times = beside(one, ours[one.name]) if one.name in ours else None
        value = f"{shown(one.median)} {one.unit}"
        compared = f"{shown(times)} x" if times else ""
        made.add_row(name, one.who, value, spread(one), compared, _target(one), style=_style(one))
    return made


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    sign = "≥" if figure.better == "more" else "≤"
    return f"{sign} {shown(figure.target)}: {'met' if figure.met else 'not met'}"


def _style(figure: Figure) -> str:
    return {True: "green", False: "red", None: ""}[figure.met]


def worse_table(found: Sequence[Worse]) -> Table:
    """What is worse than an earlier run."""
    made = Table(
        title="Worse than the earlier run, beyond the spread of both", title_justify="left"
    )
    for column in ("part", "what", "who", "now", "earlier", "worse by"):
        made.add_column(column)
    for one in found:
        now, earlier = (f"{shown(f.median)} {f.unit} ({spread(f)})" for f in (one.now, one.earlier))
        made.add_row(one.part, one.now.name, one.now.who, now, earlier, f"{one.times:.2f} x")
    return made


def markdown(found: Found) -> str:
    """The tables for a document."""
    lines = []
    for part, figures in found.items():
        lines += [f"**{part}**", "", "| what | who | median | least to most | ours is | target |"]
        lines.append("|---|---|--:|--:|--:|--:|")
        ours = {figure.name: figure for figure in figures if figure.who == OURS}
        for one in figures:
            if not one.values:
                lines.append(f"| {one.name} | {one.who} | left out: {one.note} | | | |")
                continue
            times = beside(one, ours[one.name]) if one.name in ours else None
            cells = (
                *(one.name, one.who, f"{shown(one.median)} {one.unit}", spread(one)),
                *(f"{shown(times)} x" if times else "", _target(one)),
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def picture(found: Found) -> str:
    """An SVG: bars of all that was measured of ours and of others, with whiskers of the spread."""
    rows: list[tuple[str, Figure | None, float]] = []
    for part, figures in found.items():
        names = dict.fromkeys(f.name for f in figures if f.values)
        for name in names:
            same = [f for f in figures if f.name == name and f.values]
            if len(same) > 1 and {f.who for f in same} > {OURS}:
                rows.append((f"{part}: {name}, {same[0].unit}", None, 0.0))
                longest = max(max(f.values) for f in same)
                rows += [(f.who, f, longest) for f in same]
    width, height = _LABEL + _BAR + _VALUE, _ROW * (len(rows) + 1)
    svg = Element(
        "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height}",
        width=str(width), height=str(height), role="img",
    )  # fmt: skip
    SubElement(svg, "title").text = "Ours beside others, median and spread"
    style = "text{font:12px sans-serif;fill:#111}.head{font-weight:bold}"
    SubElement(svg, "style").text = style
    SubElement(svg, "rect", width=str(width), height=str(height), fill="white")
    for number, (label, figure, longest) in enumerate(rows):
        _draw(svg, _ROW * (number + 1), label, figure, longest)
    return tostring(svg, encoding="unicode")


def _draw(svg: Element, down: int, label: str, figure: Figure | None, longest: float) -> None:
    if figure is None:
        SubElement(svg, "text", {"class": "head", "x": "8", "y": str(down + 4)}).text = label
        return

    def across(value: float) -> float:
        return round(_LABEL + _BAR * value / longest, 1) if longest else _LABEL

    end = across(figure.median)
    place = {"x": str(_LABEL - 8), "y": str(down + 4), "text-anchor": "end"}
    SubElement(svg, "text", place).text = label
    colour = _COLOURS[not label.startswith(OURS)]
    bar = {"x": str(_LABEL), "y": str(down - 6), "height": "12", "fill": colour}
    SubElement(svg, "rect", {**bar, "width": f"{end - _LABEL:g}"})
    low, high = across(min(figure.values)), across(max(figure.values))
    line = {"d": f"M{low:g},{down}H{high:g}", "stroke": "#111", "stroke-width": "2"}
    SubElement(svg, "path", line)
    said = {"x": f"{max(end, high) + 8:g}", "y": str(down + 4)}
    SubElement(svg, "text", said).text = f"{shown(figure.median)} {figure.unit}"
