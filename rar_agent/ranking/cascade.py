"""How far a model is believed, and when it is asked: fitted on answers to known images.

Nothing here asks a model or knows a memory: it is given what retrieval and a ranker said of
images whose category is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

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


@dataclass(frozen=True)
class Allowed:
    """What a gate is fitted for.

    Attributes:
        loss: Most accuracy that may be lost to not asking, as a share.
        asked: In its place: share of the images retrieval was tried on that may be asked about at
            most; None for none.
    """

    loss: float = 0.005
    asked: float | None = None


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
    from scipy.optimize import brentq, minimize_scalar  # slow to import, for fitting alone

    ratios = _ratios(ranked)

    def loss(weight: float) -> float:
        return _loss(ratios, weight)

    best = float(minimize_scalar(loss, bounds=(0.0, MOST_WEIGHT), method="bounded").x)
    most = loss(best) + CAUTION
    if loss(0.0) <= most:
        return 0.0
    return float(brentq(lambda weight: loss(weight) - most, 0.0, best))


def log_loss(one: Ranked, weight: float) -> float:
    """-log of the right candidate's share, fused; 0 where it is none of them."""
    return _loss(_ratios([one]), weight)


def _ratios(ranked: Sequence[Ranked]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    known = [(one, one.truth) for one in ranked if one.truth is not None]
    return [log_ratios(one.retrieval, one.ranking, truth) for one, truth in known]


def _loss(
    ratios: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], weight: float
) -> float:
    return float(sum(np.logaddexp.reduce(first + weight * second) for first, second in ratios))


def fit_gate(
    retrieved: Retrieved, ranked: Sequence[Ranked], weight: float, allowed: Allowed
) -> float:
    """From which probability of retrieval's on a model need not, or may not, be asked.

    Asking can gain at most the share of images where retrieval is wrong, the right candidate is
    shown, and it is near enough for the model's strongest answer to lift it to the top: by a
    Clopper-Pearson bound, as if the model put all of them right and spoilt none.

    Args:
        retrieved: All images that retrieval was tried on; no call is needed for them.
        ranked: Those that the model was asked about.
        weight: Of the model.
        allowed: What not asking may cost, or how many may be asked about.

    Returns:
        0 (never ask) to 1.01 (always ask).
    """
    reach = max((_reach(one.ranking, weight) for one in ranked), default=0.0)
    return _gate(retrieved, reach, allowed)


def most_lost(retrieved: Retrieved, ranked: Sequence[Ranked], weight: float, gate: float) -> float:
    """Bound on the accuracy that not asking from a gate on costs, as a share; see `fit_gate`."""
    reach = max((_reach(one.ranking, weight) for one in ranked), default=0.0)
    skipped = retrieved.confidence >= gate
    count = np.array([(_mendable(retrieved, reach) & skipped).sum()])
    return float(_upper_bound(count, len(skipped))[0]) if reach > 0 and skipped.any() else 0.0


def _gate(retrieved: Retrieved, reach: float, allowed: Allowed) -> float:
    """See `fit_gate`; `reach` is the log-ratio that a model's strongest answer overcomes."""
    if reach <= 0:
        return 0.0
    order = np.argsort(-retrieved.confidence, kind="stable")
    if allowed.asked is None:
        lost = _upper_bound(np.cumsum(_mendable(retrieved, reach)[order]), len(order))
        free = int((lost <= allowed.loss).sum())  # so many of the surest need no model
    else:
        free = len(order) - int(allowed.asked * len(order))
    if free == len(order):
        return 0.0
    gate = 1.01
    if free:
        # The surest that is asked about may be as sure as the next: a budget asks about neither.
        last = order[free] if allowed.asked is None else order[free - 1]
        gate = float(retrieved.confidence[last])
        gate = float(np.nextafter(gate, 2.0)) if allowed.asked is None else gate
    # From here on no other candidate is likely enough to be lifted to the top.
    return min(gate, 1.0 / (1.0 + float(np.exp(-reach)))) if np.isfinite(reach) else gate


def _mendable(retrieved: Retrieved, reach: float) -> NDArray[np.bool_]:
    """(n,) where retrieval is wrong, and a model's strongest answer could put it right."""
    shown = retrieved.truth > 0
    behind = np.log(retrieved.confidence) - np.log(np.where(shown, retrieved.truth, 1.0))
    found: NDArray[np.bool_] = shown & (behind > 0) & (behind < reach)
    return found


def _reach(ranking: Sequence[float], weight: float) -> float:
    """Largest log-ratio of two candidates that a model's answer gives, times its weight."""
    first, second = log_ratios([1.0] * len(ranking), ranking, int(np.argmax(ranking)))
    return float(-weight * (first + second).min())


def _upper_bound(count: NDArray[np.integer], trials: int) -> NDArray[np.float64]:
    """Upper Clopper-Pearson bound, at risk `RISK`, of a share that was seen so often."""
    bound = betaincinv(count + 1, np.maximum(trials - count, 1e-9), 1 - RISK)
    found: NDArray[np.float64] = np.where(count >= trials, 1.0, bound)
    return found


def could_matter(retrieved: Retrieved, allowed: Allowed) -> NDArray[np.int64]:
    """Positions of the images where a perfect model would be asked; see `fit_gate`.

    Args:
        retrieved: Images that retrieval was tried on.
        allowed: As for `fit_gate`.
    """
    found = np.flatnonzero(retrieved.confidence < _gate(retrieved, np.inf, allowed))
    return found.astype(np.int64)
