"""Image evidence: scores of categories from their exemplars, by the fitted method."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.encoders.base import normalize
from rar_agent.memory.entries import Entries
from rar_agent.memory.scoring.affinity import affinity_scores
from rar_agent.memory.scoring.features import map_features
from rar_agent.memory.scoring.fit import Fit
from rar_agent.memory.scoring.gaussian import Array, draw_weight
from rar_agent.memory.scoring.prototypes import Sums

_BATCH = 4_096  # queries scored at a time


class ImageScorer:
    """Scores from exemplars.

    Args:
        fit: What was chosen.
        entries: The memory's.
        sums: Gives the sums of all categories; not asked where there are too many.
        count: Number of categories.
        keep_all: Whether classifiers of all categories are kept, or made for each shortlist.
    """

    def __init__(
        self,
        fit: Fit,
        entries: Entries,
        sums: Callable[[], Sums],
        count: int,
        keep_all: bool,
    ) -> None:
        self.fit = fit
        self._entries = entries
        self._sums = sums
        self._count = count
        self._keep_all = keep_all

    def logits(self, queries: FloatArray, columns: NDArray[np.integer]) -> Array:
        """(q, k) logits of categories that have exemplars."""
        if self.fit.method == "gda":
            return self.fit.image_scale * self._linear_scores(queries, columns)
        sharpness = None if self.fit.method == "knn" else self.fit.sharpness
        rows = self._entries.rows_of("image", columns)
        counts = self._entries.counts("image")[columns]
        vectors = map_features(self._entries.vectors(rows), self.fit.feature_map)
        cosines = map_features(queries, self.fit.feature_map) @ vectors.T
        scores = affinity_scores(cosines, np.cumsum(counts) - counts, sharpness)
        return self.fit.image_scale * scores

    def familiarity(self, queries: FloatArray, columns: NDArray[np.integer]) -> Array:
        """(q,) cosine with the nearest prototype, of vectors as they are mapped."""
        prototypes = self._prototypes
        if prototypes is None:
            prototypes = normalize(self._some(columns)[0].astype(np.float32))[0]
        elif len(columns) < self._count:
            prototypes = prototypes[columns]
        parts = [np.empty(0, np.float32)]
        for start in range(0, len(queries), _BATCH):
            mapped = map_features(queries[start : start + _BATCH], self.fit.feature_map)
            parts.append((mapped @ prototypes.T).max(axis=1))
        return np.concatenate(parts).astype(np.float64)

    @cached_property
    def _prototypes(self) -> FloatArray | None:
        """(c, d) unit rows; None where not all are kept."""
        return normalize(self._kept_sums.sums.astype(np.float32))[0] if self._keep_all else None

    @cached_property
    def _kept_sums(self) -> Sums:
        return self._sums()

    def _linear_scores(self, queries: FloatArray, columns: NDArray[np.integer]) -> Array:
        weights, biases = self._classifier(columns)
        parts = [np.empty((0, len(columns)))]
        for start in range(0, len(queries), _BATCH):
            mapped = map_features(queries[start : start + _BATCH], self.fit.feature_map)
            centred = (mapped - self.fit.origin).astype(np.float32)
            if self.fit.rule == "single-exemplars":
                centred = normalize(centred)[0]
            parts.append((centred @ weights.T).astype(np.float64) + biases)
        return np.concatenate(parts)

    def _classifier(self, columns: NDArray[np.integer]) -> tuple[FloatArray, Array]:
        """Weights (k, d) and biases (k,) of categories."""
        if not self._keep_all:
            return self._linear(*self._some(columns))
        weights, biases = self._all
        if len(columns) == self._count:
            return weights, biases
        return weights[columns], biases[columns]

    @cached_property
    def _all(self) -> tuple[FloatArray, Array]:
        return self._linear(self._kept_sums.sums, self._kept_sums.counts)

    def _some(self, columns: NDArray[np.integer]) -> tuple[Array, Array]:
        rows = self._entries.rows_of("image", columns)
        counts = self._entries.counts("image")[columns]
        vectors = map_features(self._entries.vectors(rows), self.fit.feature_map)
        sums = np.add.reduceat(vectors.astype(np.float64), np.cumsum(counts) - counts, axis=0)
        return sums, counts.astype(np.float64)

    def _linear(self, sums: Array, counts: Array) -> tuple[FloatArray, Array]:
        """Linear classifier equal to the Gaussian posterior with equal priors."""
        fit = self.fit
        means = sums / np.maximum(counts, 1.0)[:, None] - fit.origin
        if fit.rule == "single-exemplars":
            return normalize(means.astype(np.float32))[0], np.zeros(len(means))
        means *= draw_weight(counts, fit.ratio)[:, None]
        turned = means @ fit.basis
        weights = (turned * (fit.precision - fit.outside)) @ fit.basis.T + means * fit.outside
        biases = -0.5 * (weights * means).sum(axis=1)
        return weights.astype(np.float32), biases
