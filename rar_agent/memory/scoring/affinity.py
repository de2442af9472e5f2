"""Scores from single exemplars: the nearest one (the paper's kNN), and Tip-Adapter's cache.

The cache (Zhang et al. 2022, arXiv 2207.09519) adds up affinities exp(-beta (1 - cosine)) of a
category's exemplars. Their mean is taken here, so that many exemplars are not an advantage, and its
logarithm, so that scores are logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.memory.scoring.gaussian import Array, Exemplars

SHARPNESS = (5.5, 20.0, 60.0)
"""Values of beta that are tried; 5.5 is Tip-Adapter's own."""

MOST_COSINES = 16_000_000
"""Held at a time, 4 bytes each."""


def affinity_scores(
    cosines: FloatArray, starts: NDArray[np.int64], sharpness: float | None
) -> Array:
    """Score of each category from the cosines with its exemplars.

    Args:
        cosines: (q, n), grouped by category.
        starts: (c,) where each category's columns begin; none is empty.
        sharpness: Beta of the cache; None for the nearest exemplar.

    Returns:
        (q, c): the largest cosine, or the logarithm of the mean affinity.
    """
    nearest = np.maximum.reduceat(cosines, starts, axis=1)
    if sharpness is None:
        return nearest.astype(np.float64)
    counts = np.diff(np.append(starts, cosines.shape[1]))
    # Relative to the nearest: affinities themselves can be too small for floats.
    away = cosines - np.repeat(nearest, counts, axis=1)
    sums = np.add.reduceat(np.exp(sharpness * away), starts, axis=1)
    scores: Array = sharpness * nearest.astype(np.float64) + np.log(sums / counts)
    return scores


def leave_one_out(
    exemplars: Exemplars, rows: NDArray[np.int64], sharpness: Sequence[float | None]
) -> list[Array]:
    """Scores of exemplars, each left out of its category.

    Args:
        exemplars: All of them.
        rows: (m,) those to leave out, of categories with at least two.
        sharpness: Each as for `affinity_scores`.

    Returns:
        (m, c) for each.
    """
    labels = exemplars.labels
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels))
    known = exemplars.take(order)
    step = max(1, MOST_COSINES // len(labels))
    found: list[list[Array]] = [[] for _ in sharpness]
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        own = labels[part]
        cosines = known[place[part]] @ known.T
        cosines[np.arange(len(part)), place[part]] = -np.inf
        for parts, beta in zip(found, sharpness, strict=True):
            scores = affinity_scores(cosines, starts, beta)
            if beta is not None:  # the mean is over one exemplar less
                scores[np.arange(len(part)), own] += np.log(counts[own] / (counts[own] - 1.0))
            parts.append(scores)
    return [np.concatenate(parts) for parts in found]
