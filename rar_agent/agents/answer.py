"""What a model is told: of a recognition, and of the tool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rar_agent.agents.untrusted import SHORT, label, plain

if TYPE_CHECKING:  # torch is not needed to tell of tools
    from rar_agent.memory import Memory
    from rar_agent.types import Detection, Detections, Recognition

_TOOL = (
    "Recognise which one exactly an image shows{what}, by comparing it with a memory of known "
    "categories. Use it instead of guessing when the exact name matters. Returns the best "
    "categories with probabilities. Give boxes where it shows several objects, or small ones."
)
_EXAMPLES = 4
_EDGES = ("<1", ">99")


def tool_description(memories: Sequence[Memory]) -> str:
    """What the tool is for, and what these memories know; of no memory, what such tools are for."""
    what = "; ".join(_knows(memory, len(memories) > 1) for memory in memories)
    return _TOOL.format(what=f": {what}" if what else " (species, model, dish, part, product)")


def _knows(memory: Memory, several: bool) -> str:
    count = len(memory.categories)
    few = min(count, _EXAMPLES)
    shown = [label(memory.categories[i * count // few].name, SHORT) for i in range(few)]
    name = f"in memory {memory.name} " if several else ""
    domain = label(plain(memory.manifest.domain) or "categories", SHORT)
    return f"{name}one of {count:,} {domain} ({', '.join(shown)} …)"


def describe(recognition: Recognition, most: int = 26) -> str:
    """A recognition in a few lines that a model can act on; names come from the memory only.

    Args:
        recognition: What was found.
        most: Categories that are named.
    """
    shares = [_share(c.category.name, c.probability) for c in recognition.categories[:most]]
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


def describe_boxes(detections: Detections, most: int = 2) -> str:
    """What is in each box, a line each, by its number from 1.

    Args:
        detections: What was found.
        most: Categories that are named of a box; the second is the runner-up, and none follows.
    """
    lines = [
        f"{number}. {_in_box(detection, most)}."
        for number, detection in enumerate(detections.detections, start=1)
    ]
    traces = [one.recognition.trace for one in detections.detections if one.recognition]
    if failed := sum(trace.degraded for trace in traces):
        lines.append(
            f"Ranking failed for {failed} of {len(lines)}, whose order is retrieval's; the "
            "artifact says why."
        )
    if means := dict.fromkeys(trace.probability_means for trace in traces):
        lines.append(f"Probability: {'; or '.join(means)}.")
    return "\n".join(lines)


def _in_box(detection: Detection, most: int) -> str:
    found = detection.recognition
    if found is None:
        why = detection.failure.error if detection.failure else "nothing was found"
        return f"Failed: {plain(why.partition('. ')[0], 80).rstrip('.')}"
    shares = [_share(c.category.name, c.probability) for c in found.categories[: min(most, 2)]]
    if found.decision == "accepted":
        return ", or ".join(shares)
    why = found.trace.abstained.partition(":")[0]
    if branch := found.branch:
        why += f", but one of {_share(branch.name, branch.probability)}"
    return f"Not recognised, {why}" + (f"; best guess {shares[0]}" if shares else "")


def _share(name: str, probability: float) -> str:
    certain = probability < 0.005 or probability > 0.995  # which none is
    share = _EDGES[probability > 0.5] if certain else f"{100 * probability:.0f}"
    return f"{label(name)} {share} %"
