"""What a model is told of a recognition."""

from __future__ import annotations

from rar_agent.types import Recognition


def describe(recognition: Recognition) -> str:
    """A recognition in a few lines that a model can act on; names come from the memory only."""
    shares = [f"{c.category.name} {100 * c.probability:.0f} %" for c in recognition.categories]
    trace = recognition.trace
    if recognition.decision == "abstained":
        lines = [f"Not recognised: {trace.abstained}."]
        if branch := recognition.branch:
            sure = f"{branch.name} {100 * branch.probability:.0f} %"
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
