"""Scales that turn scores into logits: maximum likelihood over labelled rows.

The losses are convex; with one scale this is temperature scaling (Guo et al. 2017). As if one more
row had a label drawn at random, so that no row of a small memory that separates perfectly makes
the scale infinite.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from rar_agent.memory.scoring.gaussian import Array

_MOST_TEXT = 100.0


def image_and_text_scales(
    scores: Array, texts: Array | None, labels: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Factors of image scores and text logits.

    Args:
        scores: (m, c) of left-out exemplars.
        texts: (m, c) text logits, or None.
        labels: (m,) their categories.

    Returns:
        Factor of the scores, factor of the texts, and the mean loss in nats.
    """
    centred = scores - scores.max(axis=1, keepdims=True)
    unit = 1.0 / max(float(-centred.mean()), 1e-12)
    terms = [unit * centred] if texts is None else [unit * centred, texts]
    bounds = [(1e-3, 1e4), (0.0, _MOST_TEXT)]
    factors, loss = _likeliest(terms, labels, [5.0, 0.1], bounds)
    return factors[0] * unit, factors[1] if texts is not None else 0.0, loss


def text_scale_alone(texts: Array, labels: NDArray[np.int64]) -> float:
    """Factor of the text logits where texts alone decide; small where names say little."""
    return _likeliest([texts], labels, [0.1], [(0.0, _MOST_TEXT)])[0][0]


def skill(texts: Array, labels: NDArray[np.int64]) -> float:
    """Share of rows that texts recognise beyond chance, 0 to 1 (Cohen's kappa against guessing)."""
    chance = 1.0 / texts.shape[1]
    right = float((texts.argmax(axis=1) == labels).mean())
    return max(0.0, (right - chance) / (1.0 - chance)) if chance < 1.0 else 0.0


def _likeliest(
    terms: list[Array],
    labels: NDArray[np.int64],
    start: list[float],
    bounds: list[tuple[float, float]],
) -> tuple[list[float], float]:
    from scipy.optimize import minimize  # slow to import, for fitting alone

    rows = np.arange(len(labels))
    random = 1.0 / (len(labels) + 1)
    wanted = np.full_like(terms[0], random / terms[0].shape[1])
    wanted[rows, labels] += 1.0 - random

    def loss(factors: Array) -> tuple[float, Array]:
        logits = sum(factor * term for factor, term in zip(factors, terms, strict=True))
        surprise = log_softmax(np.asarray(logits), axis=1)
        excess = np.exp(surprise) - wanted
        gradient = [float((excess * term).sum()) for term in terms]
        return -float((wanted * surprise).sum()) / len(labels), np.array(gradient) / len(labels)

    count = len(terms)
    found = minimize(
        loss, np.array(start[:count]), jac=True, bounds=bounds[:count], method="L-BFGS-B"
    )
    return [float(factor) for factor in found.x], float(found.fun)
