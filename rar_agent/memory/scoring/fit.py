"""Choosing, on the memory alone, how categories are scored from exemplars and texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rar_agent.memory.scoring import affinity
from rar_agent.memory.scoring.calibration import (
    FEWEST_CALIBRATED,
    Calibration,
    expected_calibration_error,
)
from rar_agent.memory.scoring.features import FeatureMap
from rar_agent.memory.scoring.gaussian import Array, Exemplars, SharedGaussian, category_sums
from rar_agent.memory.scoring.scales import image_and_text_scales, skill, text_scale_alone
from rar_agent.memory.scoring.temper import AS_THEY_ARE, Temper, fit_temper
from rar_agent.settings import MOST_CANDIDATES

SHRINKAGES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
MOST_LEFT_OUT = 4_000
"""Exemplars that are left out at most, sampled by a fixed seed; the statistics use all."""
MOST_SCORES = 2_000_000
"""Scores of left-out exemplars for categories, at most; fewer are left out where it is more."""
FEWEST_LEFT_OUT = 30
"""Under this many nothing is chosen, and the rule `single-exemplars` applies."""
FEWEST_EACH = 3
"""Exemplars that the median category has to have, for the probabilities to be called calibrated."""
SINGLE_SCALE = 15.0
"""Factor from centred cosines with prototypes to logits under that rule: the middle of what was
likeliest, 10 to 20, on seven sets: two of the builtin encoder, five of CLIP."""

Rule = Literal["leave-one-out", "single-exemplars"]
Method = Literal["gda", "knn", "cache"]
TextLogits = Callable[[NDArray[np.int64]], Array]

_NO_SCORES: Array = np.empty((0, 0))
NOT_DRAWN = 1e12
"""L so large that means stay where they are."""
MOST_COMPARED = 50_000
"""Exemplars up to which methods that need all of them at each query are considered."""


@dataclass(frozen=True)
class Fit:
    """How categories are scored.

    Attributes:
        rule: `leave-one-out`, or the fixed rule where there is too little to choose on.
        method: What turned out likeliest.
        feature_map: What vectors are mapped by first.
        origin: (d,) subtracted from mapped vectors.
        basis: (d, r) eigenvectors of the scatter.
        precision: (r,) inverse of the shrunken covariance along them.
        outside: Inverse of the shrunken covariance outside them.
        ratio: L, see `gaussian`; `NOT_DRAWN` under the fixed rule.
        shrinkage: Of the covariance.
        sharpness: Beta of the cache; 0 with the other methods.
        image_scale: Factor from image scores to logits.
        text_weight: Factor of the text logits beside image logits.
        text_alone: Factor of the text logits where text alone decides.
        temper: How logits become probabilities.
        calibrated: Whether there were enough left-out exemplars to rely on.
        calibration: Answers to the left-out exemplars; None under the fixed rule.
        left_out: Number of exemplars that were left out.
        top1: Share of them recognised, 0 to 1, by one exemplar fewer than there will be; None
            where none were left out.
        ece: Expected calibration error over them, 0 to 1, with that made up for; likewise.
        compared: Share of them that each method recognises by images alone, as `top1`.
    """

    rule: Rule
    method: Method
    feature_map: FeatureMap
    origin: Array
    basis: Array
    precision: Array
    outside: float
    ratio: float
    shrinkage: float
    sharpness: float
    image_scale: float
    text_weight: float
    text_alone: float
    temper: Temper = AS_THEY_ARE
    calibrated: bool = False
    calibration: Calibration | None = None
    left_out: int = 0
    top1: float | None = None
    ece: float | None = None
    compared: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Tried:
    """One way of scoring, and how likely it makes the left-out labels.

    `poorer` are the scores as they came, from one exemplar less; `scores` make up for that; `top1`
    is the share that the poorer recognise.
    """

    method: Method
    loss: float
    scores: Array
    poorer: Array
    top1: float
    image_scale: float
    text_weight: float
    shrinkage: float = 1.0
    ratio: float = NOT_DRAWN
    sharpness: float = 0.0


def fit_exemplars(
    exemplars: Exemplars,
    feature_map: FeatureMap,
    text_logits: TextLogits | None,
) -> Fit:
    """Choose the method and its parameters by the likelihood of left-out labels.

    Args:
        exemplars: Mapped; labels are positions 0 to c-1, all taken.
        feature_map: What they were mapped by.
        text_logits: Gives the (m, c) text logits of m rows; None without texts.
    """
    labels = exemplars.labels
    rows = left_out_rows(labels)
    alone, worth = 1.0, 0.0
    if text_logits is not None:
        sample = rows if len(rows) >= FEWEST_LEFT_OUT else _sample(np.arange(len(labels)), labels)
        said, right = text_logits(sample), labels[sample]
        alone, worth = text_scale_alone(said, right), skill(said, right)
    if len(rows) < FEWEST_LEFT_OUT or int(labels.max()) < 1:
        return _single(exemplars, feature_map, alone, alone * worth)
    texts = None if text_logits is None else text_logits(rows)
    gaussian = SharedGaussian(exemplars)
    tried = _try_shrinkages(gaussian, rows, texts)
    prototype = tried[0]
    if len(labels) <= MOST_COMPARED:
        tried += _try_affinity(exemplars, rows, texts)
    best = _best(tried)
    metric = best if best.method == "gda" else prototype
    precision, outside = gaussian.metric(metric.shrinkage)
    fit = Fit(
        rule="leave-one-out",
        method=best.method,
        feature_map=feature_map,
        origin=gaussian.origin,
        basis=gaussian.basis,
        precision=precision,
        outside=outside,
        ratio=metric.ratio,
        shrinkage=metric.shrinkage,
        sharpness=best.sharpness,
        image_scale=best.image_scale,
        text_weight=best.text_weight,
        text_alone=alone,
        left_out=len(rows),
        compared=_compared(tried),
    )
    return _calibrated(fit, best, texts, exemplars, rows)


def _calibrated(
    fit: Fit,
    best: _Tried,
    texts: Array | None,
    exemplars: Exemplars,
    rows: NDArray[np.int64],
) -> Fit:
    """A fit with the shape of its probabilities, and what the left-out answers are good for."""
    labels = exemplars.labels[rows]

    def logits(scores: Array) -> Array:
        beside = 0.0 if texts is None else best.text_weight * texts
        found: Array = best.image_scale * scores + beside
        return found

    counts = np.bincount(exemplars.labels)
    enough = bool(len(rows) >= FEWEST_CALIBRATED and np.median(counts) >= FEWEST_EACH)
    temper = fit_temper(logits(best.scores), labels) if enough else AS_THEY_ARE
    posterior = np.exp(temper.log_posterior(logits(best.scores)))
    right = posterior.argmax(axis=1) == labels
    ece = expected_calibration_error(posterior.max(axis=1), right)
    # As they came, a memory one exemplar poorer: promises have to hold, and so err safely.
    poorer = np.exp(temper.log_posterior(logits(best.poorer)))
    calibration = Calibration(
        confidence=poorer.max(axis=1),
        truth=poorer[np.arange(len(labels)), labels],
        right=poorer.argmax(axis=1) == labels,
        familiarity=_familiarity(exemplars, rows),
        likeliest=-np.sort(-poorer, axis=1)[:, :MOST_CANDIDATES],
    )
    return replace(
        fit,
        temper=temper,
        calibrated=enough,
        calibration=calibration,
        top1=float(calibration.right.mean()),
        ece=ece,
    )


def _familiarity(exemplars: Exemplars, rows: NDArray[np.int64]) -> Array:
    """(m,) cosine of each exemplar with the nearest prototype, left out of its own."""
    sums, labels = category_sums(exemplars), exemplars.labels[rows]
    mapped = exemplars.take(rows).astype(np.float64)
    cosines = mapped @ (sums / np.linalg.norm(sums, axis=1, keepdims=True)).T
    others = sums[labels] - mapped
    lengths = np.maximum(np.linalg.norm(others, axis=1), 1e-12)
    cosines[np.arange(len(rows)), labels] = (others * mapped).sum(axis=1) / lengths
    best: Array = cosines.max(axis=1)
    return best


def left_out_rows(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of exemplars to leave out: of categories with at least two, at most so many."""
    return _sample(np.flatnonzero(np.bincount(labels)[labels] >= 2), labels)


def _sample(rows: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    most = max(FEWEST_CALIBRATED, min(MOST_LEFT_OUT, MOST_SCORES // (int(labels.max()) + 1)))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    return rows


def _try_shrinkages(
    gaussian: SharedGaussian, rows: NDArray[np.int64], texts: Array | None
) -> list[_Tried]:
    """The prototype first, then shrinkages about the likeliest of a coarse grid.

    The likelihood is taken to have one peak over them, so not all are tried.
    """
    tried: dict[int, _Tried] = {}

    def loss(place: int) -> float:
        if place not in tried:
            tried[place] = _try_gaussian(gaussian, rows, SHRINKAGES[place], texts)
            kept = _best(tried.values())  # scores of the others would fill the memory
            tried.update({p: _without_scores(o) for p, o in tried.items() if o is not kept})
        return tried[place].loss

    last = len(SHRINKAGES) - 1
    loss(last)
    best = min(range(1, last, 4), key=loss)
    while True:
        around = [place for place in (best - 1, best, best + 1) if 0 <= place <= last]
        better = min(around, key=loss)
        if better == best:
            return [tried.pop(last), *tried.values()]
        best = better


def _try_gaussian(
    gaussian: SharedGaussian, rows: NDArray[np.int64], shrinkage: float, texts: Array | None
) -> _Tried:
    ratio, distances = gaussian.leave_one_out_by_moments(rows, shrinkage)
    poorer = -0.5 * distances
    labels = gaussian.labels[rows]
    scores = poorer.copy()
    scores[np.arange(len(rows)), labels] *= gaussian.own_factor(rows, ratio)
    image, text, loss = image_and_text_scales(scores, texts, labels)
    top1 = float((poorer.argmax(axis=1) == labels).mean())
    return _Tried("gda", loss, scores, poorer, top1, image, text, shrinkage, ratio)


def _try_affinity(
    exemplars: Exemplars, rows: NDArray[np.int64], texts: Array | None
) -> list[_Tried]:
    tried, ways = [], (None, *affinity.SHARPNESS)
    found = affinity.leave_one_out(exemplars, rows, ways)
    labels = exemplars.labels[rows]
    for sharpness, scores in zip(ways, found, strict=True):
        image, text, loss = image_and_text_scales(scores, texts, labels)
        method: Method = "knn" if sharpness is None else "cache"
        top1 = float((scores.argmax(axis=1) == labels).mean())
        way = _Tried(method, loss, scores, scores, top1, image, text, sharpness=sharpness or 0.0)
        tried.append(way)
    return tried


def _best(tried: Iterable[_Tried]) -> _Tried:
    return min(tried, key=lambda one: one.loss)


def _without_scores(tried: _Tried) -> _Tried:
    return replace(tried, scores=_NO_SCORES, poorer=_NO_SCORES)


def _single(
    exemplars: Exemplars, feature_map: FeatureMap, text_alone: float, text_weight: float
) -> Fit:
    """The fixed rule: cosines of centred vectors with centred prototypes, at a fixed scale.

    Texts count by their likeliest scale on the exemplars, which they were not made from, times the
    share of these that they recognise: as full evidence they cost 4 points on birds, of which they
    know one in twelve.
    """
    labels = exemplars.labels
    means = category_sums(exemplars) / np.bincount(labels)[:, None]
    several = len(means) > 1
    return Fit(
        rule="single-exemplars",
        method="gda",
        feature_map=feature_map,
        origin=means.mean(axis=0) if several else np.zeros(exemplars.dimension),
        basis=np.zeros((exemplars.dimension, 0)),
        precision=np.zeros(0),
        outside=1.0,
        ratio=NOT_DRAWN,
        shrinkage=1.0,
        sharpness=0.0,
        image_scale=SINGLE_SCALE,
        text_weight=text_weight,
        text_alone=text_alone,
    )


def _compared(tried: list[_Tried]) -> dict[str, float]:
    """Accuracy of each method at its likeliest parameters."""
    found: dict[str, _Tried] = {}
    for one in tried:
        name = "prototype" if one.method == "gda" and one.shrinkage == 1.0 else one.method
        if name not in found or one.loss < found[name].loss:
            found[name] = one
    return {name: one.top1 for name, one in sorted(found.items())}
