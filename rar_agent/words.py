"""How numbers and recognitions read, in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from rar_agent.types import Branch, Recognition, Usage

UNUSUAL = 0.05
"""Familiarity under which it is worth saying."""
FILTERED = (
    "under a filter nothing is promised: calibration, error rates and coverages were measured "
    "over all categories"
)

Tone = Literal["plain", "warning", "answer"]


class Note(NamedTuple):
    """A sentence about a recognition, and how it is meant."""

    text: str
    tone: Tone = "plain"


def percent(probability: float) -> str:
    """A probability with one decimal; never a certainty that rounding made."""
    if probability > 0.9995:
        return ">99.9 %"
    return "<0.1 %" if probability < 0.0005 else f"{100 * probability:.1f} %"


def size(number: float) -> str:
    """Bytes, in the unit that suits them."""
    for unit, word in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= unit:
            return f"{number / unit:,.1f} {word}"
    return f"{number:,.0f} bytes"


def counted(number: int, what: str) -> str:
    """A number of things, in words."""
    if number != 1:
        what = f"{what[:-1]}ies" if what.endswith("y") else f"{what}{'e' * what.endswith('x')}s"
    return f"{number:,} {what}"


def surely(branch: Branch) -> str:
    """A branch and how likely it is."""
    return f"{branch.name} {percent(branch.probability)}"


def spent(usage: Usage) -> str:
    """What a ranking took."""
    if usage.cached and not usage.input_tokens:
        return "answered before, at no cost"
    cost = "cost unknown" if usage.cost is None else f"${usage.cost:.6f}" if usage.cost else "free"
    return f"{usage.input_tokens}+{usage.output_tokens} tokens, {cost}"


def notes(recognition: Recognition, model: str | None = None) -> Iterator[Note]:
    """What there is to say of a recognition beside its categories.

    Args:
        recognition: The result.
        model: That was set to rank, whether it was asked or not.
    """
    trace = recognition.trace
    if recognition.decision == "abstained":
        yield Note(f"abstained: {trace.abstained}; the above are best guesses", "warning")
    elif trace.accepted_from is not None:
        least = percent(trace.accepted_from)
        yield Note(f"accepted from {least} on, for the error rate asked for")
    if recognition.branch:
        yield Note(f"not sure which, but: {surely(recognition.branch)}", "answer")
    familiarity = recognition.familiarity
    if familiarity is not None and familiarity < UNUSUAL:
        share = percent(familiarity)
        strange = f"unusual: only {share} of known images are as far from all that it knows"
        yield Note(strange, "warning")
    if trace.degraded:
        yield Note(f"degraded to the retrieval order: {trace.reason}", "warning")
    elif trace.reason:
        yield Note(trace.reason)
    yield Note(f"probability: {trace.probability_means}")
    if not any(ranked.exemplars for ranked in recognition.categories):
        yield Note(f"memory: {trace.memory}, names without exemplars")
    else:
        yield Note(f"memory: {trace.memory}, scored by {trace.method}")
    if trace.model:
        what = "asked to no use:" if trace.degraded else "ranked by"
        words = f"{trace.prompt}, {spent(trace.usage)}, answer {trace.parse_status}"
        yield Note(f"{what} {trace.model}, {words}")
    elif not trace.degraded:
        asked = f"{model} was not asked" if model else "no model was asked"
        yield Note(f"ranked by: retrieval alone, {asked}")
