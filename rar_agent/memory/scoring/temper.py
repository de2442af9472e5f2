"""From logits to probabilities: a mixture of two temperatures.

One temperature for all images cannot be right: some are clear and some are not. With a share of
them taken to be flatter, the sure answers are less sure and the doubtful ones more, as left-out
exemplars show them to be. The order of the categories stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from rar_agent.memory.scoring.gaussian import Array

_START = np.array([0.2, 0.0, -1.0])
_SPREAD = 2.0  # of the weak prior about the start, which counts as one row


@dataclass(frozen=True)
class Temper:
    """How logits become probabilities.

    Attributes:
        sharp: Factor of the logits of most images.
        flat: Factor of the others', smaller.
        share: Of the others, 0 to 1.
    """

    sharp: float = 1.0
    flat: float = 1.0
    share: float = 0.0

    def log_posterior(self, logits: Array) -> Array:
        """(q, c) log-probabilities of (q, c) logits."""
        clear: Array = log_softmax(self.sharp * logits, axis=1)
        if not self.share:
            return clear
        unclear = log_softmax(self.flat * logits, axis=1)
        mixed: Array = np.logaddexp(np.log1p(-self.share) + clear, np.log(self.share) + unclear)
        return mixed


AS_THEY_ARE = Temper()
"""One temperature, which the scales have fitted already."""


def fit_temper(logits: Array, labels: NDArray[np.int64]) -> Temper:
    """The likeliest two temperatures.

    Args:
        logits: (m, c) of left-out exemplars.
        labels: (m,) their categories.
    """
    from scipy.optimize import minimize  # slow to import, for fitting alone

    rows = np.arange(len(labels))

    def loss(point: Array) -> float:
        found = _temper(point).log_posterior(logits)[rows, labels]
        prior = 0.5 * (((point - _START) / _SPREAD) ** 2).sum()
        return float(prior - found.sum()) / len(labels)

    options = {"maxiter": 150, "xatol": 1e-2, "fatol": 1e-5}
    return _temper(minimize(loss, _START, method="Nelder-Mead", options=options).x)


def _temper(point: Array) -> Temper:
    sharp, apart, odds = (float(value) for value in np.clip(point, -8.0, 8.0))
    share = 1.0 / (1.0 + np.exp(-odds))
    return Temper(float(np.exp(sharp)), float(np.exp(sharp - np.exp(apart))), float(share))
