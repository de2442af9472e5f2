"""How far a model is believed, and when it is asked: fitted on answers to known images.

Nothing here asks a model or knows a memory: it is given what retrieval and a ranker said of
images whose category is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import beta

from rar_agent.ranking.fusion import log_ratios

MOST_WEIGHT = 8.0
"""Largest exponent of a model's distribution that is tried."""

CAUTION = 3.32
"""Loss in log-likelihood at which a weight is significantly worse than the likeliest: 99 % by
Wilks' theorem, 2.576 squared and halved."""

RISK = 0.1
"""Chance that a model gains more, where it is not asked, than the gate allows for."""


@dataclass(frozen=True)
class Ranked:
    """One image of known category, as retrieval and a model saw it.

    Attributes:
        retrieval: (k,) probability of each candidate over the whole memory, falling.
        ranking: (k,) the model's, among the candidates.
        truth: Position of the right candidate; None where it is none of them.
    """

    retrieval: Sequence[float]
    ranking: Sequence[float]
    truth: int | None


@dataclass(frozen=True)
class Retrieved:
    """What retrieval alone said of images of known category.

    Attributes:
        confidence: (n,) probability of its first candidate.
        truth: (n,) probability of the right one; 0 where it was not among the candidates.
    """

    confidence: NDArray[np.float64]
    truth: NDArray[np.float64]


def fit_weight(ranked: Sequence[Ranked]) -> float:
    """Exponent of a model's distribution beside retrieval's.

    The smallest that is not significantly worse than the likeliest. A model that does not make
    the right candidates significantly likelier so gets 0, which leaves retrieval as it is: however
    bad a model is, its answers then change nothing.

    Args:
        ranked: Images that the model was asked about.

    Returns:
        0 to `MOST_WEIGHT`.
    """
    ratios = _ratios(ranked)

    def loss(weight: float) -> float:
        return _loss(ratios, weight)

    best = float(minimize_scalar(loss, bounds=(0.0, MOST_WEIGHT), method="bounded").x)
    most = loss(best) + CAUTION
    if loss(0.0) <= most:
        return 0.0
    return float(brentq(lambda weight: loss(weight) - most, 0.0, best))


def log_loss(ranked: Sequence[Ranked], weight: float) -> float:
    """Sum of -log of the right candidates' shares, fused; of those that have the right one."""
    return _loss(_ratios(ranked), weight)


def _ratios(ranked: Sequence[Ranked]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    known = [(one, one.truth) for one in ranked if one.truth is not None]
    return [log_ratios(one.retrieval, one.ranking, truth) for one, truth in known]


def _loss(
    ratios: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], weight: float
) -> float:
    return float(sum(np.logaddexp.reduce(first + weight * second) for first, second in ratios))


def fit_gate(retrieved: Retrieved, ranked: Sequence[Ranked], weight: float, loss: float) -> float:
    """From which probability of retrieval's on a model need not be asked.

    Asking can gain at most the share of images where retrieval is wrong, the right candidate is
    shown, and it is near enough for the model's strongest answer to lift it to the top: by a
    Clopper-Pearson bound, as if the model put all of them right and spoilt none.

    Args:
        retrieved: All images that retrieval was tried on; no call is needed for them.
        ranked: Those that the model was asked about.
        weight: Of the model.
        loss: Most accuracy that may be lost to not asking, as a share.

    Returns:
        0 (never ask) to 1.01 (always ask).
    """
    return _gate(retrieved, max((_reach(one.ranking, weight) for one in ranked), default=0.0), loss)


def _gate(retrieved: Retrieved, reach: float, loss: float) -> float:
    """See `fit_gate`; `reach` is the log-ratio that a model's strongest answer overcomes."""
    if reach <= 0:
        return 0.0
    shown = retrieved.truth > 0
    behind = np.log(retrieved.confidence) - np.log(np.where(shown, retrieved.truth, 1.0))
    order = np.argsort(-retrieved.confidence, kind="stable")
    could = (shown & (behind > 0) & (behind < reach))[order]
    lost = _upper_bound(np.cumsum(could), len(could))
    free = int((lost <= loss).sum())  # so many of the surest need no model
    if free == len(order):
        return 0.0
    gate = float(np.nextafter(retrieved.confidence[order][free], 2.0)) if free else 1.01
    # From here on no other candidate is likely enough to be lifted to the top.
    return min(gate, 1.0 / (1.0 + float(np.exp(-reach)))) if np.isfinite(reach) else gate


def _reach(ranking: Sequence[float], weight: float) -> float:
    """Largest log-ratio of two candidates that a model's answer gives, times its weight."""
    first, second = log_ratios([1.0] * len(ranking), ranking, int(np.argmax(ranking)))
    return float(-weight * (first + second).min())


def _upper_bound(count: NDArray[np.integer], trials: int) -> NDArray[np.float64]:
    """Upper Clopper-Pearson bound, at risk `RISK`, of a share that was seen so often."""
    bound = beta.ppf(1 - RISK, count + 1, np.maximum(trials - count, 1e-9))
    found: NDArray[np.float64] = np.where(count >= trials, 1.0, bound)
    return found


def pick(retrieved: Retrieved, calls: int, loss: float, seed: int) -> NDArray[np.int64]:
    """Images to ask a model about: at random, of those where its answer could matter.

    Args:
        retrieved: Images that retrieval was tried on.
        calls: How many, at most.
        loss: As for `fit_gate`, whose gate for a perfect model bounds them.
        seed: Of the draw.

    Returns:
        (n,) their positions, ascending.
    """
    below = np.flatnonzero(retrieved.confidence < _gate(retrieved, np.inf, loss))
    if len(below) > calls:
        below = np.random.default_rng(seed).choice(below, calls, replace=False)
    return np.sort(below).astype(np.int64)
