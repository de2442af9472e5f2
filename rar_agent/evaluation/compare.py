"""Two ways or runs on the same images: which is better, by how much, how surely, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import stats

from rar_agent.errors import InputError
from rar_agent.evaluation.intervals import DIFFERENCE, LEVEL, Clusters, mcnemar, of_difference
from rar_agent.evaluation.metrics.columns import Columns, columns_of
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.suite import Way
from rar_agent.words import counted

MCNEMAR = (
    "McNemar's test (1947), exact and two-sided; an image of several cells counts once, by the "
    "sign of its difference over them, the seeds held"
)
POWER = 0.8
"""Probability of finding the smallest difference that is said to be seen."""
_REACH = float(stats.norm.ppf(0.5 + LEVEL / 2) + stats.norm.ppf(POWER))


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Difference(_Frozen):
    """B's top-1 less A's, on the same images."""

    name: str
    """Of the cell or the category; `all` of both."""
    pairs: int
    """Images in cells that both answered."""
    a: float
    """A's top-1, 0 to 1."""
    b: float
    only_a: int
    """Pairs that A alone has right."""
    only_b: int
    low: float | None = None
    """Of the interval of the difference; None where it was not made."""
    high: float | None = None
    p: float | None = None
    """Of McNemar's test; None where it was not made."""

    @property
    def difference(self) -> float:
        """B less A, -1 to 1."""
        return self.b - self.a


class Spent(_Frozen):
    """What one side's model takes; answers kept from before count with what they took then."""

    pairs: int
    """Pairs about which a model was to be asked."""
    tokens: float | None
    """Mean of an image, sent and received; None where there is no such pair."""
    dollars: float | None
    """For 1,000 images; None where not known."""


class Comparison(_Frozen):
    """What a comparison found."""

    a: str
    """Names the sides, for people."""
    b: str
    way_a: Way
    way_b: Way
    all: Difference
    level: float
    """Of the intervals, 0.95 unless several are compared."""
    images: int
    """Images, each once, whatever the cells they are in."""
    unseen: float
    """Least difference that so many images would show in four of five samples."""
    only_in_a: int
    """Records of A without one of B."""
    only_in_b: int
    differ: int
    """Pairs left out, whose bytes or truths are not the same on both sides."""
    other_candidates: int
    """Pairs that were ranked from other candidates; a comparison of prompts should have none."""
    cells: tuple[Difference, ...]
    """In order of appearance."""
    categories: tuple[Difference, ...]
    """That gained or lost, most changed first; counts, of which some are chance."""
    spent_a: Spent
    spent_b: Spent
    verdict: str
    """In words."""
    notes: tuple[str, ...] = ()
    """What has to be said beside it."""
    interval: str = DIFFERENCE
    test: str = MCNEMAR

    @property
    def better(self) -> str | None:
        """Which side is, surely: `a`, `b`, or None."""
        return _better(self.all, self.level)


def compare(
    a_records: Sequence[Record],
    b_records: Sequence[Record],
    way_a: Way = "ranked",
    way_b: Way = "ranked",
    a: str = "A",
    b: str = "B",
    level: float = LEVEL,
) -> Comparison:
    """Compare top-1 on the images that both answered in the same cell.

    Proposed boxes that are around nothing on both sides, which are right and wrong nowhere, are
    passed over.

    Args:
        a_records: At most one of an image in a cell.
        b_records: Likewise; the same ones, to compare two ways of one run.
        way_a: Whose answers count.
        way_b: Likewise.
        a: Names the sides, for people.
        b: Likewise.
        level: Of intervals, and of the test beside them; more than 0.95 where several are compared.

    Raises:
        InputError: Nothing is in both, or an image is twice in a cell.
    """
    sides = [_answered(a_records, way_a), _answered(b_records, way_b)]
    keys = [key for key in sides[0] if key in sides[1]]
    both = [(sides[0][key], sides[1][key]) for key in keys]
    pairs = [(x, y) for x, y in both if x.truth or y.truth]
    if both and not pairs:
        raise InputError(
            f"{a} and {b} have only boxes around nothing in common, so neither is right.",
            "Compare average precision, in the reports.",
        )
    same = [(x, y) for x, y in pairs if x.truth and (x.sha256, x.truth) == (y.sha256, y.truth)]
    if not same:
        raise InputError(_nothing(a, b, way_a, way_b, sides, len(pairs)), "Compare equal suites.")
    of_a, of_b = (columns_of([pair[side] for pair in same]) for side in (0, 1))
    right_a, right_b = of_a.ways[way_a].right, of_b.ways[way_b].right
    everything = np.ones(len(same), dtype=np.bool_)
    whole, error = _difference("all", right_a, right_b, of_a.clusters, everything, level)
    ranks = way_a == way_b == "ranked"
    others = sum(ranks and not _same_candidates(x, y) for x, y in same)
    found = Comparison(
        a=a,
        b=b,
        way_a=way_a,
        way_b=way_b,
        all=whole,
        level=level,
        images=of_a.clusters.distinct,
        unseen=_REACH * error if error == error else 1.0,  # nan: one image
        only_in_a=len(sides[0]) - len(both),
        only_in_b=len(sides[1]) - len(both),
        differ=len(pairs) - len(same),
        other_candidates=others,
        cells=tuple(
            _difference(name, right_a, right_b, of_a.clusters, of_a.cells == at, level)[0]
            for at, name in enumerate(of_a.cell_names)
        ),
        categories=tuple(_by_category(of_a, right_a, right_b)),
        spent_a=_spent(of_a, way_a),
        spent_b=_spent(of_b, way_b),
        verdict="",
    )
    notes = tuple(_notes(found, of_a.clusters.draws))
    return found.model_copy(update={"verdict": _verdict(found), "notes": notes})


def _answered(records: Sequence[Record], way: Way) -> dict[tuple[str, str], Record]:
    found: dict[tuple[str, str], Record] = {}
    for record in records:
        if getattr(record, way) is None:
            continue
        if (key := (record.cell, record.sample)) in found:
            raise InputError(
                f"'{record.sample}' has two records in cell '{record.cell}'.",
                "Keep one: each image counts once.",
            )
        found[key] = record
    return found


def _nothing(
    a: str,
    b: str,
    way_a: Way,
    way_b: Way,
    sides: Sequence[Mapping[tuple[str, str], Record]],
    pairs: int,
) -> str:
    if pairs:
        return f"{a} and {b} have other bytes or truths behind each of {counted(pairs, 'image')}."
    for name, way, side in ((a, way_a, sides[0]), (b, way_b, sides[1])):
        if not side:
            return f"{name} has no answer by '{way}'."
    cells = [", ".join(list(dict.fromkeys(cell for cell, _ in side))[:3]) for side in sides]
    return f"{a} and {b} have no image of a cell in common: {a} has {cells[0]}, {b} has {cells[1]}."


def _same_candidates(x: Record, y: Record) -> bool:
    if x.retrieval is None or y.retrieval is None:
        return True
    return set(x.retrieval.names) == set(y.retrieval.names)


def _difference(
    name: str,
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    clusters: Clusters,
    which: NDArray[np.bool_],
    level: float,
) -> tuple[Difference, float]:
    """A difference and its standard error."""
    one, other, clusters = right_a[which], right_b[which], clusters.take(which)
    change = other.astype(np.float64) - one
    interval, error = of_difference(change, clusters, level)
    of_image = np.bincount(clusters.images, change)
    low, high = (None if limit != limit else limit for limit in interval)  # nan
    found = Difference(
        name=name,
        pairs=len(one),
        a=float(one.mean()),
        b=float(other.mean()),
        only_a=int((one & ~other).sum()),
        only_b=int((other & ~one).sum()),
        low=low,
        high=high,
        p=mcnemar(int((of_image < 0).sum()), int((of_image > 0).sum())),
    )
    return found, error


def _by_category(
    columns: Columns, right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]
) -> Iterator[Difference]:
    size = len(columns.names)
    count = np.bincount(columns.truth, minlength=size)
    a, b = (np.bincount(columns.truth, r, size) for r in (right_a, right_b))
    only_a, only_b = (
        np.bincount(columns.truth, r, size) for r in (right_a & ~right_b, right_b & ~right_a)
    )
    for at in np.lexsort((-count, -np.abs(b - a))):
        if a[at] != b[at]:
            yield Difference(
                name=columns.names[at],
                pairs=int(count[at]),
                a=float(a[at] / count[at]),
                b=float(b[at] / count[at]),
                only_a=int(only_a[at]),
                only_b=int(only_b[at]),
            )


def _spent(columns: Columns, way: Way) -> Spent:
    asked = columns.asked.get(way)
    if asked is None:
        return Spent(pairs=0, tokens=0.0, dollars=0.0)
    if not asked.there.any():
        return Spent(pairs=0, tokens=None, dollars=None)
    cost = 1000 * float(asked.cost[asked.there].mean())
    return Spent(
        pairs=int(asked.there.sum()),
        tokens=float((asked.input_tokens + asked.output_tokens)[asked.there].mean()),
        dollars=None if np.isnan(cost) else cost,
    )


def _better(found: Difference, level: float) -> str | None:
    if found.low is None or found.high is None or found.p is None or found.p >= 1 - level:
        return None
    return "b" if found.low > 0 else "a" if found.high < 0 else None


def _points(share: float) -> str:
    return f"{100 * share:.1f}"


def _verdict(found: Comparison) -> str:
    whole = found.all
    if whole.low is None or whole.high is None or whole.p is None:
        return f"One image cannot say whether {found.a} or {found.b} is better."
    p = "p < 0.001" if whole.p < 0.001 else f"p = {whole.p:.3f}"
    better = found.better
    if better is None:
        shown = f"{_points(whole.difference)} ({_points(whole.low)} to {_points(whole.high)})"
        return (
            f"No difference that {counted(found.images, 'image')} could show: {found.b} less "
            f"{found.a} is {shown} points, {p}; differences under {_points(found.unseen)} points "
            "mostly stay unseen."
        )
    low, high = sorted((abs(whole.low), abs(whole.high)))
    return (
        f"{found.b if better == 'b' else found.a} is better by {_points(abs(whole.difference))} "
        f"points ({_points(low)} to {_points(high)}), {p}."
    )


def _notes(found: Comparison, draws: int) -> Iterator[str]:
    for count, name in ((found.only_in_a, found.a), (found.only_in_b, found.b)):
        if count:
            yield f"Left out: {counted(count, 'answer')} of {name} without a counterpart."
    if found.differ:
        yield f"Left out, because of other bytes or truths: {counted(found.differ, 'pair')}."
    if found.other_candidates:
        yield f"Ranked from other candidates: {counted(found.other_candidates, 'pair')}."
    if draws == 1:
        yield "One seed: how much another draw of exemplars would change is not in the interval."
    if found.level != LEVEL:
        yield f"Intervals are of {100 * found.level:.3g} %, because several are compared."
