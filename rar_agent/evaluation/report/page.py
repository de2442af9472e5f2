"""A report as one page of HTML that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rar_agent.evaluation.metrics.curves import Confused
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.report.chart import Chart
from rar_agent.evaluation.report.samples import answer_of, pack_records
from rar_agent.evaluation.report.svg import draw, draw_bar, marker
from rar_agent.evaluation.report.tables import Table, Titles, chart_table
from rar_agent.evaluation.report.thumbnails import Thumbnails
from rar_agent.evaluation.suite import Way
from rar_agent.words import counted

PAIRS = 24
"""Confused pairs that are shown with pictures."""
_PICTURES = 3


@dataclass(frozen=True)
class Drawn:
    """A chart on the page.

    Attributes:
        chart: What it holds.
        svg: As it is drawn.
        legend: Marks and names of its series.
        numbers: The same as a table.
    """

    chart: Chart
    svg: Markup
    legend: Sequence[tuple[Markup, str]]
    numbers: Table


class Shown(NamedTuple):
    """A picture of a pair.

    Attributes:
        uri: Of its data.
        alt: For who does not see it.
        caption: Below it.
    """

    uri: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Pair:
    """A confusion with its pictures.

    Attributes:
        truth: Name of the true category.
        answer: Name of the other.
        says: How often.
        pictures: Test images of it, and exemplars of both where there are some.
    """

    truth: str
    answer: str
    says: str
    pictures: Sequence[Shown]


def drawn(chart: Chart) -> Drawn:
    """A chart with all that belongs to it."""
    legend = [(marker(series.style), series.name) for series in chart.series]
    return Drawn(chart, draw(chart), legend, chart_table(chart))


def confused_samples(
    confusions: Sequence[Confused], records: Sequence[Record], way: Way
) -> dict[tuple[str, str], list[Record]]:
    """For each pair, a few records that show it, of different images."""
    wanted = {(one.truth, one.answer) for one in confusions}
    found: dict[tuple[str, str], dict[str, Record]] = defaultdict(dict)
    for record in records:
        answer = answer_of(record, way)
        pair = (record.truth, answer.names[0]) if answer else None
        if pair in wanted and len(found[pair]) < _PICTURES:
            found[pair].setdefault(record.sample, record)
    return {pair: list(some.values()) for pair, some in found.items()}


def pair_of(one: Confused, records: Sequence[Record], thumbnails: Thumbnails) -> Pair:
    """A confusion as the page shows it."""
    pictures = [
        Shown(uri, f"test image {record.sample}", one.truth)
        for record in records
        if (uri := thumbnails.uri(record.sample))
    ]
    for name in (one.truth, one.answer):
        nearest = [seen.source for record in records for seen in record.seen if seen.name == name]
        uris = filter(None, map(thumbnails.uri, nearest))
        pictures += [Shown(uri, f"exemplar of {name}", f"known: {name}") for uri in [*uris][:1]]
    return Pair(one.truth, one.answer, f"{counted(one.count, 'answer')} like that", pictures)


def pairs_say(title: str, shown: int, all_: int) -> str:
    """What stands above the pairs."""
    which = f"the {shown} most frequent of {all_:,}" if shown < all_ else f"all {all_:,}"
    return f"A category, and what it was taken for, by {title}: {which}, over all cells."


def render(
    records: Sequence[Record],
    thumbnails: Thumbnails,
    titles: Titles,
    values: Mapping[str, object],
) -> str:
    """The page.

    Args:
        records: In the order in which they are listed.
        thumbnails: Those there are.
        titles: How ways are called.
        values: What else the template shows.
    """
    style, script = asset("report.css"), asset("report.js")
    positions = {key: at for at, key in enumerate(thumbnails.jpegs)}
    return environment().get_template("report.html").render(
        values,
        style=Markup(style),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        style_hash=csp_hash(style),
        script_hash=csp_hash(script),
        jpegs=list(thumbnails.jpegs.values()),
        packed=pack_records(records, positions, titles),
    )  # fmt: skip


def thumbnails_say(thumbnails: Thumbnails, most: int) -> str:
    """How many test images have a thumbnail, and which."""
    shown, images = thumbnails.shown, thumbnails.images
    if not shown:
        return "No test image has a thumbnail: the images are not where they were."
    if shown == images:
        return f"All {counted(images, 'test image')} have a thumbnail."
    return (
        f"{shown:,} of {counted(images, 'test image')} have a thumbnail, at most {most:,}: "
        "those of confused pairs and of errors first."
    )


def asset(name: str) -> str:
    """A file that lies beside the templates."""
    return (files("rar_agent.evaluation.report") / "templates" / name).read_text("utf-8")


def csp_hash(text: str) -> str:
    """Under which a browser runs this text, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def environment() -> Environment:
    """Of the templates; what they are given is text, whatever is in it."""
    made = Environment(
        loader=PackageLoader("rar_agent.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["bar"] = draw_bar
    return made
