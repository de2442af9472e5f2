"""What the left-out answers are good for: thresholds, candidate sets, and "is it anything known?".

Everything is read off the answers to exemplars that were left out, one by one; no other images are
needed, and any error rate or coverage can be asked for later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from rar_agent.memory.scoring.gaussian import Array

FEWEST_CALIBRATED = 100
"""Under this many left out, probabilities are not called calibrated."""
RISK = 0.1
"""Chance, for one threshold, that accepted answers err more often than the bound says."""
UNFAMILIAR = 0.01
"""Share of known images that are taken for unknown ones."""


@dataclass(frozen=True)
class Calibration:
    """Answers to the left-out exemplars.

    Attributes:
        confidence: (m,) probability of the best category.
        truth: (m,) probability of the right category.
        right: (m,) whether the best was the right one.
        familiarity: (m,) how similar each was to what is known; more is more.
        likeliest: (m, k) the largest probabilities, falling; at most `MOST_CANDIDATES`.
    """

    confidence: Array
    truth: Array
    right: NDArray[np.bool_]
    familiarity: Array
    likeliest: Array

    def __len__(self) -> int:
        return len(self.confidence)

    def accept_from(self, error_rate: float) -> float:
        """Least confidence to accept so that accepted answers err at most so often.

        See the function `accept_from`.
        """
        return accept_from(self.confidence, self.right, error_rate)

    def include_from(self, coverage: float) -> float:
        """Least probability that puts a category into the candidate set.

        Split-conformal with the score 1 - p(right category) (Sadinle et al. 2019, LAC): the
        smallest sets on average; the right one is among them with the asked probability.

        Args:
            coverage: Above 0, below 1.

        Returns:
            0 to 1; 0 puts all in, where there are too few left-out answers to promise so much.
        """
        place = int(np.ceil((len(self) + 1) * coverage))
        if place > len(self):
            return 0.0
        return float(np.sort(-self.truth)[place - 1] * -1.0)

    def set_size(self, coverage: float) -> float:
        """Mean size of the candidate sets of the left-out exemplars; see `include_from`."""
        inside = (self.likeliest >= self.include_from(coverage)).sum(axis=1)
        return float(np.maximum(inside, 1).mean())

    def familiar(self, scores: Array) -> Array:
        """Share of known images that are no more similar to what is known than these.

        A conformal p-value: under `UNFAMILIAR` the image is hardly anything the memory knows.

        Args:
            scores: (q,) similarities, as `familiarity` holds them.

        Returns:
            (q,) above 0, at most 1.
        """
        below = np.searchsorted(self._sorted_familiarity, scores, side="right")
        return np.asarray((1.0 + below) / (len(self) + 1.0), np.float64)

    @cached_property
    def _sorted_familiarity(self) -> Array:
        found: Array = np.sort(self.familiarity)
        return found

    @property
    def unfamiliar_under(self) -> float:
        """The p-value at and under which an image is taken for none that is known."""
        return max(UNFAMILIAR, 1.0 / (len(self) + 1.0))


def accept_from(confidence: Array, right: NDArray[np.bool_], error_rate: float) -> float:
    """Least confidence to accept so that accepted answers err at most so often.

    The lowest threshold that passes a Clopper-Pearson bound at risk `RISK` (after Geifman &
    El-Yaniv 2017, arXiv 1705.08500, without their correction for trying many thresholds, which
    costs much where few answers are known), and over which the probabilities themselves expect no
    more errors. The risk is that of all calibrations: where few answers are enough for a promise at
    all, most of those that pass the bound alone are the lucky ones.

    Args:
        confidence: (n,) probability of each answer.
        right: (n,) whether it was right.
        error_rate: Above 0, below 1.

    Returns:
        0 to 1; infinity where no threshold is known to be strict enough.
    """
    order = np.argsort(-confidence, kind="stable")
    confidence, count = confidence[order], np.arange(1, len(order) + 1)
    wrong = np.cumsum(~right[order])
    bound = np.where(
        wrong == count, 1.0, betaincinv(wrong + 1, np.maximum(count - wrong, 1e-9), 1 - RISK)
    )
    expected = np.cumsum(1.0 - confidence) / count
    between = np.append(confidence[1:] < confidence[:-1], True)
    passing = np.flatnonzero((bound <= error_rate) & (expected <= error_rate) & between)
    return float(confidence[passing[-1]]) if len(passing) else float("inf")


def expected_calibration_error(
    confidence: Array, right: NDArray[np.bool_], bins: int = 15
) -> float:
    """ECE over equal-width bins (Guo et al. 2017, arXiv 1706.04599).

    Args:
        confidence: (n,) probability of each top answer.
        right: (n,) whether it was right.
        bins: Of equal width from 0 to 1; empty ones count nothing.

    Returns:
        0 to 1.
    """
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(float(right[bin_of == b].mean()) - float(confidence[bin_of == b].mean()))
        * float((bin_of == b).mean())
        for b in np.unique(bin_of)
    ]
    return float(sum(gaps))
