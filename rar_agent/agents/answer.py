"""What a model is told: of a recognition, and of the tool."""

from __future__ import annotations

from collections.abc import Sequence

from rar_agent.memory import Memory
from rar_agent.types import Recognition

_TOOL = (
    "Recognise which one exactly an image shows{what}, by comparing it with a memory of known "
    "categories. Use it instead of guessing when the exact name matters. Returns the best "
    "categories with probabilities."
)
_EXAMPLES = 4
_EDGES = ("<1", ">99")


def plain(name: str) -> str:
    """A name from a memory as one line, so that it reads as a name."""
    return " ".join(name.split())


def tool_description(memories: Sequence[Memory]) -> str:
    """What the tool is for, and what these memories know; of no memory, what such tools are for."""
    what = "; ".join(_knows(memory, len(memories) > 1) for memory in memories)
    return _TOOL.format(what=f": {what}" if what else " (species, model, dish, part, product)")


def _knows(memory: Memory, several: bool) -> str:
    count = len(memory.categories)
    shown = [plain(memory.categories[i * count // _EXAMPLES].name) for i in range(_EXAMPLES)]
    examples = ", ".join(dict.fromkeys(shown)) if count else ""
    name = f"in memory {memory.name} " if several else ""
    return f"{name}one of {count:,} {plain(memory.manifest.domain) or 'categories'} ({examples} …)"


def describe(recognition: Recognition) -> str:
    """A recognition in a few lines that a model can act on; names come from the memory only."""
    shares = [_share(c.category.name, c.probability) for c in recognition.categories]
    trace = recognition.trace
    if recognition.decision == "abstained":
        lines = [f"Not recognised: {trace.abstained}."]
        if branch := recognition.branch:
            sure = _share(branch.name, branch.probability)
            lines.append(f"Not sure which, but it is one of these: {sure}.")
        if shares:
            lines.append(f"Best guesses: {', '.join(shares)}.")
        lines.append("A sharper or closer photo, or teaching the memory this category, would help.")
    else:
        lines = [f"Answer: {shares[0]}."]
        if shares[1:]:
            lines.append(f"Runners-up: {', '.join(shares[1:])}.")
        if trace.degraded:
            lines.append("Ranking failed, so the order is retrieval's; the artifact says why.")
    lines.append(f"Probability: {trace.probability_means}.")
    return "\n".join(lines)


def _share(name: str, probability: float) -> str:
    certain = probability < 0.005 or probability > 0.995  # which none is
    share = _EDGES[probability > 0.5] if certain else f"{100 * probability:.0f}"
    return f"{plain(name)} {share} %"
