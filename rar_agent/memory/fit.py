"""Choosing, on the memory alone, how categories are scored from exemplars and texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from rar_agent.encoders import FloatArray
from rar_agent.encoders.base import normalize
from rar_agent.memory.gaussian import Array, SharedGaussian

SHRINKAGES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
MOST_LEFT_OUT = 4_000
"""Exemplars that are left out at most, sampled by a fixed seed; the statistics use all."""
FEWEST_LEFT_OUT = 30
FEWEST_EACH = 3
"""Under this many in all, or in the median category, nothing is chosen and the rule
`few-exemplars` applies: leaving one of two out halves what is known of its category alone."""
FEWEST_CALIBRATED = 100
"""Under this many left out, probabilities are not called calibrated."""

FEW_SCALE = 30.0
"""Factor from cosines with prototypes to logits under that rule; likeliest for 2 to 4 exemplars
left out on the builtin encoder's features of birds and of everyday objects (20 to 50)."""

FeatureMap = Literal["identity", "root"]


@dataclass(frozen=True)
class Fit:
    """How to score categories; see `FitRecord` for the fields that are stored."""

    rule: Literal["leave-one-out", "few-exemplars"]
    feature_map: FeatureMap
    shrinkage: float
    image_scale: float
    text_weight: float
    calibrated: bool
    categories: NDArray[np.int32]
    weights: FloatArray
    biases: FloatArray
    loo_images: int = 0
    loo_top1: float | None = None
    loo_ece: float | None = None
    similarity_floor: float | None = None


def map_features(vectors: FloatArray, feature_map: FeatureMap) -> FloatArray:
    """Apply a feature map to unit rows (n, d); the result has unit rows too."""
    if feature_map == "identity":
        return vectors
    return normalize(np.sqrt(np.maximum(vectors, 0.0)))[0]


def fit_exemplars(
    vectors: FloatArray,
    categories: NDArray[np.int32],
    text_logits: FloatArray | None,
    names_help: bool,
) -> Fit:
    """Choose feature map, shrinkage, scales and text weight by leave-one-out.

    Args:
        vectors: (n, d) unit rows of the exemplars.
        categories: (n,) their category ids.
        text_logits: (n, c) logits of the exemplars' categories by text, columns in the order of
            the sorted distinct ids; None where the memory has no texts.
        names_help: Whether text counts where there is too little to choose on.
    """
    ids, labels = np.unique(categories, return_inverse=True)
    labels = labels.astype(np.int64)
    left_out = _left_out(labels)
    if (
        len(left_out) < FEWEST_LEFT_OUT
        or len(ids) < 2
        or np.median(np.bincount(labels)) < FEWEST_EACH
    ):
        return _few_exemplars(vectors, ids, labels, names_help)
    # Square roots suit features that cannot be negative, such as pooled activations.
    maps: list[FeatureMap] = ["identity", "root"] if (vectors >= 0).all() else ["identity"]
    best: tuple[float, FeatureMap, float, SharedGaussian] | None = None
    for feature_map in maps:
        gaussian = SharedGaussian(map_features(vectors, feature_map), labels)
        for shrinkage in reversed(SHRINKAGES):  # of equals, the one nearest to the prototype
            scores = gaussian.leave_one_out(left_out, shrinkage)
            top1 = float((scores.argmax(axis=1) == labels[left_out]).mean())
            if best is None or top1 > best[0]:
                best = (top1, feature_map, shrinkage, gaussian)
    assert best is not None  # noqa: S101 - the loops ran
    top1, feature_map, shrinkage, gaussian = best
    scores = gaussian.leave_one_out(left_out, shrinkage)
    texts = None if text_logits is None else text_logits[left_out].astype(np.float64)
    image_scale, text_weight = _scales(scores, texts, labels[left_out])
    logits = image_scale * scores + (0.0 if texts is None else text_weight * texts)
    posterior = np.exp(log_softmax(logits, axis=1))
    right = posterior.argmax(axis=1) == labels[left_out]
    weights, biases = gaussian.linear(shrinkage)
    return Fit(
        rule="leave-one-out",
        feature_map=feature_map,
        shrinkage=shrinkage,
        image_scale=image_scale,
        text_weight=text_weight,
        calibrated=len(left_out) >= FEWEST_CALIBRATED,
        categories=ids.astype(np.int32),
        weights=weights,
        biases=biases,
        loo_images=len(left_out),
        loo_top1=top1,
        loo_ece=expected_calibration_error(posterior.max(axis=1), right),
        similarity_floor=_similarity_floor(vectors, left_out),
    )


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


def _left_out(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    rows = np.flatnonzero(np.bincount(labels)[labels] >= 2)
    if len(rows) > MOST_LEFT_OUT:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_LEFT_OUT, replace=False))
    return rows.astype(np.int64)


def _scales(scores: Array, texts: Array | None, labels: NDArray[np.int64]) -> tuple[float, float]:
    """Factors of image and text scores that maximise the likelihood of the left-out labels.

    The loss is convex in both; it is the maximum-likelihood form of temperature scaling.
    """
    centred = scores - scores.max(axis=1, keepdims=True)
    unit = 1.0 / max(float(-centred.mean()), 1e-12)
    others = np.zeros_like(scores) if texts is None else texts
    rows = np.arange(len(labels))

    def loss(factors: Array) -> tuple[float, Array]:
        logits = factors[0] * unit * centred + factors[1] * others
        surprise = log_softmax(logits, axis=1)
        excess = np.exp(surprise)
        excess[rows, labels] -= 1.0
        gradient = [(excess * unit * centred).sum(), (excess * others).sum()]
        return -surprise[rows, labels].mean(), np.array(gradient) / len(labels)

    most_text = 0.0 if texts is None else 100.0
    start = np.array([5.0, 0.1 if most_text else 0.0])
    bounds = [(1e-3, 1e4), (0.0, most_text)]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B")
    return float(found.x[0] * unit), float(found.x[1])


def _few_exemplars(
    vectors: FloatArray, ids: NDArray[np.int32], labels: NDArray[np.int64], names_help: bool
) -> Fit:
    """Nearest prototype by cosine at a fixed scale, plus the text logits as they are."""
    sums = np.zeros((len(ids), vectors.shape[1]), np.float64)
    np.add.at(sums, labels, vectors)
    return Fit(
        rule="few-exemplars",
        feature_map="identity",
        shrinkage=1.0,
        image_scale=FEW_SCALE,
        text_weight=1.0 if names_help else 0.0,
        calibrated=False,
        categories=ids.astype(np.int32),
        weights=normalize(sums.astype(np.float32))[0],
        biases=np.zeros(len(ids), np.float32),
    )


def _similarity_floor(vectors: FloatArray, left_out: NDArray[np.int64]) -> float:
    """Least cosine of an exemplar with its nearest other one: nothing known is lonelier."""
    nearest = []
    for start in range(0, len(left_out), 512):
        rows = left_out[start : start + 512]
        cosines = vectors[rows] @ vectors.T
        cosines[np.arange(len(rows)), rows] = -1.0
        nearest.append(cosines.max(axis=1))
    return float(np.concatenate(nearest).min())
