"""A Gaussian for each category with one shared, shrunken covariance, and its exact leave-one-out.

Training-free classifier after Wang et al. 2024 (arXiv 2402.04087). Shrinkage is towards the
sphere of equal trace: (1-a) S / nu + a tr(S) / (nu d) I, with S the within-category scatter and
nu its degrees of freedom.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray

Array = NDArray[np.float64]


class SharedGaussian:
    """Means and shared scatter of exemplars.

    Args:
        vectors: (n, d) exemplars.
        labels: (n,) 0 to c-1; every category has at least one.
    """

    def __init__(self, vectors: FloatArray, labels: NDArray[np.int64]) -> None:
        self.labels = labels
        self.counts = np.bincount(labels).astype(np.float64)
        count, dimension = vectors.shape
        order = np.argsort(labels, kind="stable")
        starts = np.concatenate(([0], np.cumsum(self.counts.astype(np.int64))[:-1]))
        rows = vectors.astype(np.float64)
        self.means: Array = np.add.reduceat(rows[order], starts, axis=0) / self.counts[:, None]
        self._deviations: Array = rows - self.means[labels]
        self.freedom = count - len(self.counts)
        self.dimension = dimension
        # In the eigenbasis every shrunken covariance is diagonal, and outside it, spherical.
        self._values, self._basis = _principal_axes(self._deviations)
        self._turned_means: Array = self.means @ self._basis
        self._outside: Array = self.means - self._turned_means @ self._basis.T

    def linear(self, shrinkage: float) -> tuple[FloatArray, FloatArray]:
        """Linear classifier equal to the Gaussian posterior with equal priors.

        Args:
            shrinkage: Above 0, at most 1, where the nearest mean decides.

        Returns:
            Weights (c, d) and biases (c,).
        """
        spherical = shrinkage * self._values.sum() / self.freedom / self.dimension
        precision = 1.0 / ((1 - shrinkage) * self._values / self.freedom + spherical)
        weights = (self._turned_means * precision) @ self._basis.T + self._outside / spherical
        biases = -0.5 * (weights * self.means).sum(axis=1)
        return weights.astype(np.float32), biases.astype(np.float32)

    def leave_one_out(self, rows: NDArray[np.int64], shrinkage: float) -> Array:
        """Scores of exemplars, each left out of its mean, the scatter and the trace.

        Args:
            rows: (m,) positions of exemplars whose categories have at least two.
            shrinkage: Above 0, at most 1.

        Returns:
            (m, c) minus half the squared Mahalanobis distance to each mean.
        """
        labels = self.labels[rows]
        deviations = self._deviations[rows] @ self._basis
        vectors = deviations + self._turned_means[labels]
        # Without x, its mean moves by -dev/(n-1), the scatter loses n/(n-1) dev dev'.
        ratio = self.counts[labels] / (self.counts[labels] - 1.0)
        trace = self._values.sum() - ratio * (deviations**2).sum(axis=1)
        freedom = self.freedom - 1.0
        spherical = shrinkage * trace / freedom / self.dimension
        inverse = 1.0 / ((1 - shrinkage) * self._values[None, :] / freedom + spherical[:, None])
        # Sherman-Morrison for the rank-one loss of scatter.
        scale = (1 - shrinkage) / freedom * ratio
        turned = inverse * deviations
        reach = (turned * deviations).sum(axis=1)
        gain = scale / np.maximum(1.0 - scale * reach, 1e-9)
        means = self._turned_means
        squared = (inverse * vectors**2).sum(axis=1)[:, None]
        squared = squared - 2.0 * (inverse * vectors) @ means.T + inverse @ (means**2).T
        along = (turned * vectors).sum(axis=1)[:, None] - turned @ means.T
        squared = squared + gain[:, None] * along**2
        if self._basis.shape[1] < self.dimension:
            squared = squared + self._apart_outside[labels] / spherical[:, None]
        squared[np.arange(len(rows)), labels] = ratio**2 * (reach + gain * reach**2)
        scores: Array = -0.5 * squared
        return scores

    @cached_property
    def _apart_outside(self) -> Array:
        """(c, c) squared distances of the means outside the eigenbasis; deviations have none."""
        dots = self._outside @ self._outside.T
        lengths = dots.diagonal()
        apart: Array = np.maximum(lengths[:, None] + lengths[None, :] - 2.0 * dots, 0.0)
        return apart


def _principal_axes(deviations: Array) -> tuple[Array, Array]:
    """Eigenvalues (r,) and eigenvectors (d, r) of the scatter, from the smaller Gram matrix."""
    count, dimension = deviations.shape
    if count >= dimension:
        values, basis = np.linalg.eigh(deviations.T @ deviations)
        return np.maximum(values, 0.0), basis
    values, turned = np.linalg.eigh(deviations @ deviations.T)
    kept = values > 1e-9 * max(float(values[-1]), 1e-300)
    return values[kept], deviations.T @ turned[:, kept] / np.sqrt(values[kept])
