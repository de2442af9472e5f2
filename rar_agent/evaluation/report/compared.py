"""A comparison as one page of HTML, as Markdown, and as JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from rar_agent.errors import InputError
from rar_agent.evaluation.compare import Comparison, Difference
from rar_agent.evaluation.recommend import Judged, Recommendation
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.report.chart import Bar
from rar_agent.evaluation.report.page import asset, csp_hash, environment
from rar_agent.evaluation.report.samples import answer_of, is_right
from rar_agent.evaluation.report.tables import (
    Cell,
    Table,
    cell,
    escaped,
    markdown,
    ranged,
    told,
)
from rar_agent.evaluation.report.thumbnails import Picture, Thumbnails, make_thumbnails
from rar_agent.evaluation.report.write import Paths
from rar_agent.evaluation.suite import Way
from rar_agent.words import counted

EXAMPLES = 100
"""Images that are shown of those on which the sides differ, at most."""
_CATEGORIES = 20


@dataclass(frozen=True)
class Side:
    """What is compared.

    Attributes:
        way: Whose answers count.
        records: At most one of an image in a cell.
    """

    way: Way
    records: Sequence[Record]


@dataclass(frozen=True)
class Compared:
    """What the page says.

    Attributes:
        title: What is compared.
        sides: By name, the one to stay with first.
        comparisons: Of each two.
        recommendation: Which one to take; None where that was not asked.
        cautions: What has to be said beside every figure.
        changes: What tells two sides apart, by a title: a diff.
        command: What was typed.
    """

    title: str
    sides: Mapping[str, Side]
    comparisons: Sequence[Comparison]
    recommendation: Recommendation | None = None
    cautions: Sequence[str] = ()
    changes: Mapping[str, str] | None = None
    command: str = ""

    @property
    def says(self) -> str:
        """What it comes to."""
        chosen = self.recommendation
        return chosen.reason if chosen else self.comparisons[0].verdict


@dataclass(frozen=True)
class _Said:
    name: str
    answer: str
    right: bool
    order: str
    raw: str


@dataclass(frozen=True)
class _Example:
    sample: str
    cell: str
    truth: str
    uri: str
    sides: Sequence[_Said]


def write_comparison(place: Path, compared: Compared, picture: Picture) -> Paths:
    """Write `PLACE.html`, `PLACE.md` and `PLACE.json`.

    Args:
        place: Of the files, without their endings.
        compared: What they say.
        picture: Where thumbnails come from.

    Raises:
        InputError: The files cannot be written.
    """
    tables = [*_tables(compared)]
    differ = _differing(compared.sides)
    paths = Paths(*(place.with_name(f"{place.name}.{kind}") for kind in ("html", "md", "json")))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        paths.html.write_text(_page(compared, tables, differ, picture), "utf-8")
        paths.markdown.write_text(_markdown(compared, tables), "utf-8")
        paths.json.write_text(_json(compared), "utf-8")
    except OSError as error:
        raise InputError(
            f"'{place.parent}' cannot be written to: {error.strerror}.", "Choose another folder."
        ) from error
    return paths


def _tables(compared: Compared) -> Iterator[Table]:
    if compared.recommendation:
        yield _prompts(compared.recommendation)
    for one in compared.comparisons:
        head = ["", one.a, one.b, "difference", f"only {one.a} right", f"only {one.b} right"]
        named = f"{one.a} and {one.b}"
        level = f"intervals of {100 * one.level:.3g} %"
        whole = () if len(one.cells) == 1 else (one.all,)
        yield Table(f"{named}: top-1, {level}", head, _rows((*whole, *one.cells)))
        if changed := one.categories[:_CATEGORIES]:
            of = f"{len(changed)} of {counted(len(one.categories), 'category')} that changed"
            yield Table(f"{named}, by category: {of}, most first", head, _rows(changed))


def _prompts(found: Recommendation) -> Table:
    margin = f"surely not over {100 * found.margin:g} points worse than any other"
    head = ["", "top-1", "tokens an image", "price", margin]
    return Table("On the images that all answered", head, [_judged(one) for one in found.judged])


def _judged(one: Judged) -> tuple[str | Cell, ...]:
    tokens, dollars = one.spent.tokens, one.spent.dollars
    return (
        one.name,
        cell(one.top_1),
        Cell("not known" if tokens is None else f"{tokens:,.0f}"),
        Cell("not known" if dollars is None else told(dollars, "dollars")),
        Cell("yes" if one.safe else "no"),
    )


def _rows(found: Sequence[Difference]) -> list[tuple[str | Cell, ...]]:
    """All drawn at one scale."""
    ends = [end for one in found for end in (one.difference, one.low, one.high) if end is not None]
    return [_row(one, max(map(abs, ends), default=0.0) or 1.0) for one in found]


def _row(found: Difference, reach: float) -> tuple[str | Cell, ...]:
    bar = Bar(found.difference, found.low, found.high, reach, signed=True, style=1)
    return (
        found.name,
        Cell(told(found.a, "share"), f"n = {found.pairs:,}"),
        Cell(told(found.b, "share")),
        Cell(
            told(found.difference, "difference"),
            "" if found.p is None else f"McNemar's p = {found.p:.3g}",
            ranged(found.low, found.high, "difference"),
            bar,
        ),
        Cell(f"{found.only_a:,}"),
        Cell(f"{found.only_b:,}"),
    )


def _differing(sides: Mapping[str, Side]) -> list[dict[str, Record]]:
    """Records by side, of images that some have right and others wrong; the first's come first."""
    by_key: dict[tuple[str, str], dict[str, Record]] = defaultdict(dict)
    for name, side in sides.items():
        for record in side.records:
            if answer_of(record, side.way):
                by_key[record.cell, record.sample][name] = record
    first = next(iter(sides))
    found: list[tuple[bool, int, dict[str, Record]]] = []
    for records in by_key.values():
        rights = {name: is_right(record, sides[name].way) for name, record in records.items()}
        if len(records) == len(sides) and len(set(rights.values())) == 2:
            found.append((not rights[first], len(found), records))
    return [records for *_, records in sorted(found, key=lambda one: one[:2])]


def _page(
    compared: Compared,
    tables: Sequence[Table],
    differ: Sequence[Mapping[str, Record]],
    picture: Picture,
) -> str:
    shown = _spread(differ, EXAMPLES)
    thumbnails = make_thumbnails([next(iter(one.values())) for one in shown], picture)
    style = asset("report.css")
    return environment().get_template("compared.html").render(
        compared=compared,
        tables=tables,
        examples=[_example(one, compared.sides, thumbnails) for one in shown],
        differ=counted(len(differ), "image"),
        shown=len(shown),
        total=len(differ),
        style=Markup(style),  # noqa: S704 - ours
        style_hash=csp_hash(style),
    )  # fmt: skip


def _spread(differ: Sequence[Mapping[str, Record]], most: int) -> list[Mapping[str, Record]]:
    """At most so many, evenly over the list: of both directions."""
    step = max(1.0, len(differ) / most)
    return [differ[int(at * step)] for at in range(min(most, len(differ)))]


def _example(
    records: Mapping[str, Record], sides: Mapping[str, Side], thumbnails: Thumbnails
) -> _Example:
    one = next(iter(records.values()))
    said = [_said(name, record, sides[name].way) for name, record in records.items()]
    return _Example(one.sample, one.cell, one.truth, thumbnails.uri(one.sample), said)


def _said(name: str, record: Record, way: Way) -> _Said:
    answer = answer_of(record, way)
    ranking = record.ranking if way == "ranked" else None
    ranking = record.asked_alone if way == "alone" else ranking
    return _Said(
        name,
        answer.names[0] if answer else "",
        bool(is_right(record, way)),
        ", ".join(ranking.order) if ranking else "",
        ranking.raw if ranking else "",
    )


def _markdown(compared: Compared, tables: Sequence[Table]) -> str:
    parts = [f"# {escaped(compared.title)}", f"**{escaped(compared.says)}**"]
    parts += [escaped(caution) for caution in compared.cautions]
    if compared.recommendation:
        parts += [escaped(one.verdict) for one in compared.comparisons]
    parts += [markdown(table) for table in tables]
    notes = dict.fromkeys(note for one in compared.comparisons for note in one.notes)
    parts.append("\n".join(f"- {escaped(note)}" for note in notes))
    parts += [f"```\n{compared.command}\n```"] if compared.command else []
    return "\n\n".join(filter(None, parts)) + "\n"


def _json(compared: Compared) -> str:
    chosen = compared.recommendation
    whole = {
        "title": compared.title,
        "says": compared.says,
        "cautions": list(compared.cautions),
        "recommendation": chosen.model_dump(mode="json", exclude={"comparisons"})
        if chosen
        else None,
        "comparisons": [one.model_dump(mode="json") for one in compared.comparisons],
        "command": compared.command,
    }
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
