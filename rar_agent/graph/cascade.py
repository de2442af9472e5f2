"""Whether a model is asked, about which candidates, and how far it is believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rar_agent.memory import Memory
from rar_agent.memory.format.manifest import RankerRecord
from rar_agent.memory.rankers import Way, find_ranker
from rar_agent.memory.scoring import calibration
from rar_agent.memory.search import Method
from rar_agent.ranking import fuse
from rar_agent.settings import Settings

UNFITTED_GATE = 0.98
"""Calibrated probability from which a model is not asked, until that is fitted."""

COVERAGE = 0.98
"""A model is shown the candidates that hold the right one so often, at most k."""

FEWEST = 2
"""Candidates that a model is shown at least."""


_FEWEST_READ = 0.1  # share of the answers fitted on, from which one read likewise is believed


@dataclass(frozen=True)
class Cascade:
    """How retrieval and a ranking model work together on one memory.

    Attributes:
        record: What was fitted; None where nothing was, or does not hold.
        why_not: Why nothing fitted is used; empty where it is.
        skip_at: Calibrated probability from which the model is not asked, if that is set.
    """

    record: RankerRecord | None
    why_not: str
    skip_at: float | None = None

    @property
    def gate(self) -> float:
        """Calibrated probability from which the model is not asked."""
        if self.skip_at is not None:
            return self.skip_at
        return UNFITTED_GATE if self.record is None else self.record.gate

    def of(self, candidates: int, method: Method) -> Cascade:
        """As it is for a run: without what was fitted where that does not hold for it.

        Args:
            candidates: How many were retrieved.
            method: How they were scored.
        """
        if self.record is None:
            return self
        if method != "fitted":
            return self._without("the model was calibrated on fitted probabilities, not on knn's")
        if candidates > self.record.k:
            return self._without(
                f"the model was calibrated on {self.record.k} candidates at most, "
                f"not on {candidates}"
            )
        return self

    def said(self, worded: bool) -> Cascade:
        """As it is for an answer: without what was fitted on answers that were read otherwise.

        Args:
            worded: Whether words had to do for log-probabilities.
        """
        if self.record is None:
            return self
        share = self.record.worded if worded else 1 - self.record.worded
        if share >= _FEWEST_READ:
            return self
        one, other = "log-probabilities", "words"
        here, there = (other, one) if worded else (one, other)
        return self._without(f"the model was calibrated on {there}, and answered in {here}")

    def _without(self, why_not: str) -> Cascade:
        return Cascade(None, why_not, self.skip_at)

    def skips(self, memory: Memory, probabilities: Sequence[float], fitted: bool) -> str:
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

    def fused(
        self, probabilities: Sequence[float], ranking: Sequence[float], unfitted: float
    ) -> list[float]:
        """Final probabilities of the candidates, in retrieval order.

        Args:
            probabilities: Of all candidates, falling.
            ranking: The model's, of the first ones, which it was shown.
            unfitted: Weight where none was fitted.
        """
        weight = unfitted if self.record is None else self.record.weight
        asked = len(ranking)
        return [*fuse(probabilities[:asked], ranking, weight), *probabilities[asked:]]


def accept_from(memory: Memory, record: RankerRecord | None, rate: float) -> tuple[float, int]:
    """Least final probability to accept so that accepted answers err at most so often.

    Args:
        memory: Calibrated.
        record: Of the model that was asked; None where retrieval answers alone.
        rate: Above 0, below 1.

    Returns:
        0 to 1, or infinity where that cannot be promised; the number of answers it is read off.
    """
    if record is None:
        known = memory.calibration
        return (known.accept_from(rate), len(known)) if known else (math.inf, 0)
    if not record.answers:
        return math.inf, 0
    confidence, right = zip(*record.answers, strict=True)
    least = calibration.accept_from(np.array(confidence), np.array(right, bool), rate)
    return least, len(right)


def load_cascade(
    memory: Memory, prompt_hash: str, settings: Settings, server: str | None
) -> Cascade:
    """What is known of the settings' model beside a memory.

    Args:
        memory: As it was opened.
        prompt_hash: Of the prompt that the model is asked with.
        settings: Which model, which ranker; `skip_ranking_at` comes before what was fitted.
        server: Hash of where the model is asked; None where that is not known.
    """
    way = Way(
        settings.model or "",
        server,
        settings.ranker,
        prompt_hash,
        settings.orders,
        settings.image_side,
        settings.exemplars,
    )
    return Cascade(*find_ranker(memory, way), settings.skip_ranking_at)


def shown(memory: Memory, probabilities: Sequence[float]) -> int:
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
