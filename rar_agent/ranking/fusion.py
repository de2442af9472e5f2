"""Putting retrieval's posterior and a ranker's distribution together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PLACE_ODDS = 3.0
"""Odds of a place over the next one that a listwise answer is taken to give, until it is fitted.

Conservative: retrieval that holds a candidate three times as likely as its neighbour is not
overruled by their swap."""

RANK_WEIGHT = 1.0
"""Exponent of the ranker's distribution in the product, until it is fitted."""


def place_probabilities(
    named: Sequence[int], count: int, odds: float = PLACE_ODDS
) -> NDArray[np.float64]:
    """Probability of each candidate from its place alone: geometric, sums to 1.

    Args:
        named: Positions of the candidates that an answer names, best first.
        count: Of candidates; those that it does not name share the places after.
        odds: Of a place over the next.

    Returns:
        (count,).
    """
    weights = odds ** -np.arange(count, dtype=np.float64)
    shares = np.full(count, weights[len(named) :].mean() if len(named) < count else 0.0)
    shares[list(named)] = weights[: len(named)]
    probabilities: NDArray[np.float64] = shares / shares.sum()
    return probabilities


def fuse(
    retrieval: Sequence[float], ranking: Sequence[float], weight: float = RANK_WEIGHT
) -> list[float]:
    """Product of experts over the candidates; their retrieval mass is kept.

    Args:
        retrieval: Probability of each candidate over the whole memory.
        ranking: Probability of each among the candidates.
        weight: Exponent of the ranking; 0 leaves retrieval as it is.

    Returns:
        Final probabilities with the sum of `retrieval`.
    """
    first = np.maximum(np.asarray(retrieval, np.float64), 1e-12)
    second = np.maximum(np.asarray(ranking, np.float64), 1e-12)
    logits = np.log(first) + weight * np.log(second)
    shares = np.exp(logits - logits.max())
    return [float(p) for p in shares / shares.sum() * min(1.0, float(np.sum(retrieval)))]
