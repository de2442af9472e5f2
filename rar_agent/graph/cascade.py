"""Whether a model is asked, about which candidates, and how far it is believed."""

from __future__ import annotations

from dataclasses import dataclass

from rar_agent.memory import Memory
from rar_agent.memory.format.manifest import RankerRecord
from rar_agent.memory.rankers import find_ranker, is_current
from rar_agent.settings import Settings

UNFITTED_GATE = 0.98
"""Calibrated probability from which a model is not asked, until that is fitted."""

COVERAGE = 0.98
"""A model is shown the candidates that hold the right one so often, at most k."""

FEWEST = 2
"""Candidates that a model is shown at least."""


@dataclass(frozen=True)
class Cascade:
    """How retrieval and a ranking model work together on one memory.

    Attributes:
        record: What was fitted; None where nothing was, or too much changed since.
        why_not: Why nothing fitted is used; empty where it is.
        gate: Calibrated probability from which the model is not asked.
    """

    record: RankerRecord | None
    why_not: str
    gate: float

    def skips(self, memory: Memory, probabilities: list[float], fitted: bool) -> str:
        """Why the model is not asked about an image; empty where it is.

        Args:
            memory: That was searched.
            probabilities: Of the candidates, falling.
            fitted: Whether they are the fitted method's.
        """
        if len(probabilities) < FEWEST:
            return "there is one candidate"
        if self.record is not None and self.record.weight == 0:
            return f"on {self.record.images} left-out exemplars the model was no help"
        if fitted and memory.calibrated and probabilities[0] >= self.gate:
            return f"retrieval is calibrated and at least {self.gate:.2f} sure"
        return ""


def load_cascade(memory: Memory, prompt_hash: str, settings: Settings) -> Cascade:
    """What is known of the settings' model beside a memory.

    Args:
        memory: As it was opened.
        prompt_hash: Of the prompt that the model is asked with.
        settings: Which model, which ranker; `skip_ranking_at` comes before what was fitted.
    """
    record = find_ranker(
        memory, settings.model or "", settings.ranker, prompt_hash, settings.orders
    )
    why_not = f"the model was not calibrated on memory '{memory.name}'"
    if record is not None:
        why_not = ""
        if not is_current(memory, record) or not memory.calibrated:
            record, why_not = None, "the memory changed much since the model was calibrated on it"
    gate = UNFITTED_GATE if record is None else record.gate
    if settings.skip_ranking_at is not None:
        gate = settings.skip_ranking_at
    return Cascade(record, why_not, gate)


def shown(memory: Memory, probabilities: list[float]) -> int:
    """How many of the first candidates a model is shown: the conformal set, `FEWEST` at least.

    Args:
        memory: Whose candidates; where it is not calibrated, all are shown.
        probabilities: Of the candidates, falling.
    """
    if memory.calibration is None or not memory.calibrated:
        return len(probabilities)
    least = memory.calibration.include_from(COVERAGE)
    inside = sum(probability >= least for probability in probabilities)
    return min(len(probabilities), max(FEWEST, inside))
