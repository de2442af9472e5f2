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
from rar_agent.memory.scoring.products import products
from rar_agent.memory.scoring.prototypes import Sums

_BATCH = 4_096  # queries scored at a time
_FEW = 64  # where each is compared with every exemplar


class ImageScorer:
    """Scores from exemplars.

    Args:
        fit: What was chosen.
        entries: The memory's.
        sums: Gives the sums of all categories; not asked where there are too many.
        keep_all: Whether classifiers of all categories are kept, or made for each shortlist.
    """

    def __init__(
        self,
        fit: Fit,
        entries: Entries,
        sums: Callable[[], Sums],
        keep_all: bool,
    ) -> None:
        self.fit = fit
        self._entries = entries
        self._sums = sums
        self._keep_all = keep_all
        self._last: tuple[bytes, FloatArray, NDArray[np.integer]] | None = None

    def logits(self, queries: FloatArray, columns: NDArray[np.integer]) -> Array:
        """(q, k) logits of categories that have exemplars."""
        if self.fit.method == "gda":
            return self.fit.image_scale * self._linear_scores(queries, columns)
        sharpness = None if self.fit.method == "knn" else self.fit.sharpness
        vectors, counts = self._exemplars(columns)
        parts = [np.empty((0, len(columns)))]
        for start in range(0, len(queries), _FEW):
            mapped = map_features(queries[start : start + _FEW], self.fit.feature_map)
            cosines = products(mapped, vectors)
            parts.append(affinity_scores(cosines, np.cumsum(counts) - counts, sharpness))
        return self.fit.image_scale * np.concatenate(parts)

    def _exemplars(self, columns: NDArray[np.integer]) -> tuple[FloatArray, NDArray[np.integer]]:
        """Mapped exemplars of categories, grouped, and how many each has; the last are kept."""
        key = columns.tobytes()
        known = self._last
        if known is None or known[0] != key:
            rows = self._entries.rows_of("image", columns)
            counts = self._entries.counts("image")[columns]
            vectors = map_features(self._entries.vectors(rows), self.fit.feature_map)
            known = self._last = key, vectors, counts
        return known[1], known[2]

    def familiarity(self, queries: FloatArray, columns: NDArray[np.integer]) -> Array:
        """(q,) cosine with the nearest prototype, of vectors as they are mapped."""
        prototypes, wanted = self._prototypes, columns
        if prototypes is None:
            prototypes = normalize(self._some(columns)[0].astype(np.float32))[0]
            wanted = np.arange(len(columns))
        parts = [np.empty(0, np.float32)]
        for start in range(0, len(queries), _BATCH):
            mapped = map_features(queries[start : start + _BATCH], self.fit.feature_map)
            parts.append(products(mapped, prototypes)[:, wanted].max(axis=1))
        return np.concatenate(parts).astype(np.float64)

    @cached_property
    def _prototypes(self) -> FloatArray | None:
        """(c, d) unit rows; None where not all are kept."""
        return normalize(self._kept_sums.sums.astype(np.float32))[0] if self._keep_all else None

    @cached_property
    def _kept_sums(self) -> Sums:
        return self._sums()

    def _linear_scores(self, queries: FloatArray, columns: NDArray[np.integer]) -> Array:
        if self._keep_all:  # scores are picked, which are fewer than weights
            (weights, biases), wanted = self._all, columns
        else:
            (weights, biases), wanted = self._linear(*self._some(columns)), np.arange(len(columns))
        parts = [np.empty((0, len(columns)))]
        for start in range(0, len(queries), _BATCH):
            mapped = map_features(queries[start : start + _BATCH], self.fit.feature_map)
            centred = (mapped - self.fit.origin).astype(np.float32)
            if self.fit.rule == "single-exemplars":
                centred = normalize(centred)[0]
            scores = products(centred, weights).astype(np.float64) + biases
            parts.append(scores[:, wanted])
        return np.concatenate(parts)

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
