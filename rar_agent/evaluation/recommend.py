"""Which prompt to take, by what is sure and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from pydantic import BaseModel, ConfigDict

from rar_agent.errors import InputError
from rar_agent.evaluation.compare import Comparison, Spent, compare
from rar_agent.evaluation.intervals import LEVEL
from rar_agent.evaluation.metrics.accuracy import TOP_1, accuracy
from rar_agent.evaluation.metrics.columns import columns_of
from rar_agent.evaluation.metrics.metric import Facts, Metric
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.suite import Way
from rar_agent.words import counted

MARGIN = 0.01
"""Of top-1: what may be lost for a lower price, and has to be ruled out where it is not wanted."""
SAVING = 0.1
"""Share of the price that has to be saved, for accuracy not to decide."""


class Judged(BaseModel):
    """A prompt on the images that all answered."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    top_1: Metric
    spent: Spent
    safe: bool
    """Whether it is surely not more than the margin worse than any other."""


class Recommendation(BaseModel):
    """What a comparison of several prompts comes to."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    choice: str | None
    """None where so few images cannot tell."""
    reason: str
    """In words."""
    margin: float
    judged: tuple[Judged, ...]
    """In the order given."""
    comparisons: tuple[Comparison, ...]
    """Of each two, at a level that makes all intervals hold together (Bonferroni)."""


def recommend(
    runs: Mapping[str, Sequence[Record]], way: Way = "ranked", margin: float = MARGIN
) -> Recommendation:
    """Recommend one of several prompts, by the images that all answered.

    It is the cheapest of those that are surely not more than the margin worse than any other, by
    the intervals' limits (a test of non-inferiority, Schuirmann 1987); the most accurate of those
    that cost about the same. Where there is none, too few images were asked about.

    Args:
        runs: Records by prompt; the first is the one to stay with.
        way: Whose answers count.
        margin: Of top-1, above 0.

    Raises:
        InputError: There are fewer than two prompts, or no image that all answered.
    """
    if len(runs) < 2:
        raise InputError("One prompt cannot be compared.", "Name two: rank@1,rank@2.")
    common = set.intersection(
        *(
            {(r.cell, r.sample) for r in records if getattr(r, way) is not None}
            for records in runs.values()
        )
    )
    equal = {
        name: [r for r in records if (r.cell, r.sample) in common] for name, records in runs.items()
    }
    if not common:
        raise InputError("No image was answered with all prompts.", "Run them on equal suites.")
    names = list(runs)
    two = list(combinations(names, 2))
    level = 1 - (1 - LEVEL) / len(two)
    found = {(a, b): compare(equal[a], equal[b], way, way, a, b, level) for a, b in two}
    spent = {a: one.spent_a for (a, _), one in found.items()}
    spent |= {b: one.spent_b for (_, b), one in found.items()}
    safe = [name for name in names if all(_worst(found, name, to) > -margin for to in names)]
    judged = tuple(
        Judged(name=name, top_1=_top_1(equal[name], way), spent=spent[name], safe=name in safe)
        for name in names
    )
    choice, reason = _choose(judged, list(found.values()), margin)
    return Recommendation(
        choice=choice,
        reason=reason,
        margin=margin,
        judged=judged,
        comparisons=tuple(found.values()),
    )


def _worst(found: Mapping[tuple[str, str], Comparison], name: str, to: str) -> float:
    """Lower limit of a prompt's difference to another."""
    if name == to:
        return 0.0
    low, high = (
        (found[to, name].all.low, found[to, name].all.high)
        if (to, name) in found
        else (found[name, to].all.low, found[name, to].all.high)
    )
    if low is None or high is None:
        return -1.0
    return low if (to, name) in found else -high


def _top_1(records: Sequence[Record], way: Way) -> Metric:
    for figure in accuracy(columns_of(records), way, Facts()):
        if figure.kind is TOP_1:
            return figure.of(way, "all", len({record.cell for record in records}))
    raise AssertionError(way)


def _choose(
    judged: Sequence[Judged], comparisons: Sequence[Comparison], margin: float
) -> tuple[str | None, str]:
    points = f"{100 * margin:g} point{'' if margin == 0.01 else 's'}"
    safe = [one for one in judged if one.safe]
    best = max(judged, key=_accuracy)
    if not safe:
        least = max(one.unseen for one in comparisons)
        images = max(one.images for one in comparisons)
        needed = round(images * (least / margin) ** 2, -2)
        return None, (
            f"No recommendation: {counted(images, 'image')} cannot rule out that each is more than "
            f"{points} worse than another. Some {needed:,.0f} images could; until then stay with "
            f"{judged[0].name}."
        )
    prices = [_price(one, judged) for one in safe]
    cheapest = min(prices)
    near = [
        one for one, price in zip(safe, prices, strict=True) if price * (1 - SAVING) <= cheapest
    ]
    chosen = max(near, key=_accuracy)
    beside = [
        one.verdict
        for one in comparisons
        if {one.a, one.b} == {chosen.name, _other(chosen, judged)}
    ]
    price = _price_words(chosen, judged)
    if chosen is best:
        return chosen.name, f"{chosen.name}: none is more accurate here. {beside[0]}{price}"
    return chosen.name, (
        f"{chosen.name}: surely not more than {points} worse than any other, and cheaper. "
        f"{beside[0]}{price}"
    )


def _accuracy(one: Judged) -> float:
    return one.top_1.value or 0.0


def _other(chosen: Judged, judged: Sequence[Judged]) -> str:
    """The most accurate of the others."""
    return max((one for one in judged if one is not chosen), key=_accuracy).name


def _price(one: Judged, judged: Sequence[Judged]) -> float:
    """Dollars, where all are known; else tokens; else nothing that decides."""
    if all(each.spent.dollars is not None for each in judged):
        return one.spent.dollars or 0.0
    if all(each.spent.tokens is not None for each in judged):
        return one.spent.tokens or 0.0
    return 0.0


def _price_words(chosen: Judged, judged: Sequence[Judged]) -> str:
    other = next(one for one in judged if one.name == _other(chosen, judged))
    mine, theirs = chosen.spent, other.spent
    if mine.dollars is not None and theirs.dollars is not None:
        words = f" 1,000 images cost ${mine.dollars:,.4g}, with {other.name} ${theirs.dollars:,.4g}"
        more = _accuracy(chosen) - _accuracy(other)
        if mine.dollars > theirs.dollars and more > 0:
            each = (mine.dollars - theirs.dollars) / (1000 * more)
            words += f": ${each:,.4g} for each answer more that is right"
        return words + "."
    if mine.tokens is not None and theirs.tokens is not None:
        return (
            f" An image takes {mine.tokens:,.0f} tokens, with {other.name} {theirs.tokens:,.0f}; "
            "prices are not known."
        )
    return " What they cost is not known."
