"""Putting retrieval's posterior and a ranker's distribution together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PLACE_ODDS = 3.0
"""Odds of a place over the next one that a listwise answer is taken to give.

Conservative: at weight 1 retrieval that holds a candidate three times as likely as its neighbour
is not overruled by their swap. A fitted weight changes the odds: they are raised to it."""

DOUBT = 0.01
"""Share of an even distribution that is mixed into every ranker's: no answer is certain."""


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


def fuse(retrieval: Sequence[float], ranking: Sequence[float], weight: float = 1.0) -> list[float]:
    """Product of experts over the candidates; their retrieval mass is kept.

    Args:
        retrieval: Probability of each candidate over the whole memory.
        ranking: Probability of each among the candidates.
        weight: Exponent of the ranking; 0 leaves retrieval as it is.

    Returns:
        Final probabilities with the sum of `retrieval`.
    """
    logits = _logs(retrieval) + weight * _doubted(ranking)
    shares = np.exp(logits - logits.max())
    return [float(p) for p in shares / shares.sum() * min(1.0, float(np.sum(retrieval)))]


def log_ratios(
    retrieval: Sequence[float], ranking: Sequence[float], truth: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-ratios of each candidate to the right one, by retrieval and by the ranking.

    The logarithm of the right one's share, fused at weight w, is minus the log-sum-exp of
    first + w * second.

    Args:
        retrieval: As `fuse` takes it.
        ranking: As `fuse` takes it.
        truth: Position of the right candidate.

    Returns:
        (k,) and (k,).
    """
    first, second = _logs(retrieval), _doubted(ranking)
    return first - first[truth], second - second[truth]


def _logs(retrieval: Sequence[float]) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.maximum(np.asarray(retrieval, np.float64), 1e-12))
    return logs


def _doubted(ranking: Sequence[float]) -> NDArray[np.float64]:
    shares = np.asarray(ranking, np.float64)
    logs: NDArray[np.float64] = np.log((1 - DOUBT) * shares + DOUBT / max(len(shares), 1))
    return logs
