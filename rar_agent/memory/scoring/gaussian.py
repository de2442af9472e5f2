"""A Gaussian for each category with one shared, shrunken covariance, and its exact leave-one-out.

Training-free classifier after Wang et al. 2024 (arXiv 2402.04087), with two additions for few
exemplars. The covariance is shrunk towards the sphere of equal trace: (1-a) S / nu + a tr(S) /
(nu d) I, with S the within-category scatter and nu its degrees of freedom. Each category's mean is
drawn towards the mean of all by w(n) = n L / (n L + 1), its posterior mean where means themselves
are Gaussian with L times the covariance within (empirical Bayes; L from moments): a category of
one photo must not be as sure of itself as one of a hundred.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray

Array = NDArray[np.float64]

_CHUNK = 8_192  # rows whose products are summed at a time
_LEAST_RATIO = 0.05


class Exemplars(Protocol):
    """Mapped exemplars that need not fit into memory together."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) 0 to c-1; every category has at least one."""

    @property
    def dimension(self) -> int:
        """Length d of a vector."""

    def take(self, rows: NDArray[np.int64]) -> FloatArray:
        """(m, d) mapped vectors of rows."""


class SharedGaussian:
    """Means and shared scatter of exemplars, about the mean of the categories' means.

    Args:
        exemplars: At least one more than there are categories.

    Attributes:
        origin: (d,) mean of the categories' means.
        counts: (c,) exemplars of each category.
    """

    def __init__(self, exemplars: Exemplars) -> None:
        self._exemplars = exemplars
        self.labels = exemplars.labels
        self.dimension = exemplars.dimension
        self.counts: Array = np.bincount(self.labels).astype(np.float64)
        self.freedom = len(self.labels) - len(self.counts)
        means = category_sums(exemplars) / self.counts[:, None]
        self.origin: Array = means.mean(axis=0)
        self.means: Array = means - self.origin
        self._turned_rows: tuple[NDArray[np.int64], Array] | None = None
        # In the eigenbasis every shrunken covariance is diagonal, and outside it, spherical.
        self._values, self.basis = self._principal_axes()
        self._turned: Array = self.means @ self.basis
        self._outside: Array = self.means - self._turned @ self.basis.T

    def _principal_axes(self) -> tuple[Array, Array]:
        """Eigenvalues (r,) and eigenvectors (d, r) of the scatter, from the smaller Gram matrix."""
        centres = self.means + self.origin
        if len(self.labels) < self.dimension:
            deviations = np.concatenate(
                [p - centres[self.labels[r]] for r, p in _parts(self._exemplars)]
            )
            values, turned = np.linalg.eigh(deviations @ deviations.T)
            kept = values > 1e-9 * max(float(values[-1]), 1e-300)
            return values[kept], deviations.T @ turned[:, kept] / np.sqrt(values[kept])
        scatter = np.zeros((self.dimension, self.dimension))
        for rows, part in _parts(self._exemplars):
            part -= centres[self.labels[rows]]
            scatter += part.T @ part
        values, basis = np.linalg.eigh(scatter)
        return np.maximum(values, 0.0), basis

    def metric(self, shrinkage: float) -> tuple[Array, float]:
        """Inverse of the shrunken covariance: (r,) in the eigenbasis, and the value outside it."""
        sphere = shrinkage * self._values.sum() / self.freedom / self.dimension
        sphere = max(sphere, 1e-12)
        return 1.0 / ((1 - shrinkage) * self._values / self.freedom + sphere), 1.0 / sphere

    def leave_one_out_by_moments(
        self, rows: NDArray[np.int64], shrinkage: float
    ) -> tuple[float, Array]:
        """Like `leave_one_out`, with L from the same left-out exemplars.

        Args:
            rows: (m,) positions of exemplars whose categories have at least two.
            shrinkage: Above 0, at most 1.

        Returns:
            L: variance of the categories' true means over the variance within, by moments, in the
            metric of the shrinkage; and the (m, c) distances.
        """
        left = _LeftOut(self, rows, shrinkage)
        ratio = self._spread_ratio(left, shrinkage)
        return ratio, self._distances(left, ratio)

    def _spread_ratio(self, left: _LeftOut, shrinkage: float) -> float:
        count = left.count
        within = np.mean((left.reach + left.gain * left.reach**2) * count / (count - 1))
        inverse, outside = self.metric(shrinkage)
        lengths = (inverse * self._turned**2).sum(axis=1)
        lengths += outside * (self._outside**2).sum(axis=1)
        categories = len(self.counts)
        between = lengths.mean() * categories / (categories - 1)
        return float(max(between / within - np.mean(1 / self.counts), _LEAST_RATIO))

    def leave_one_out(self, rows: NDArray[np.int64], shrinkage: float, ratio: float) -> Array:
        """Squared distances of exemplars, each left out of every statistic.

        The exemplar is taken out of its mean, the mean of means, the scatter and the trace, by
        rank-one updates. Its own category then knows one exemplar less than it will when a new
        image is asked, which flatters the others: see `own_factor`.

        Args:
            rows: (m,) positions of exemplars whose categories have at least two.
            shrinkage: Above 0, at most 1.
            ratio: L.

        Returns:
            (m, c) squared Mahalanobis distances to the drawn means.
        """
        return self._distances(_LeftOut(self, rows, shrinkage), ratio)

    def _distances(self, left: _LeftOut, ratio: float) -> Array:
        count, categories = left.count, len(self.counts)
        drawn, own_drawn = draw_weight(self.counts, ratio), draw_weight(count - 1, ratio)
        turned_means, outside_means = drawn[:, None] * self._turned, drawn[:, None] * self._outside
        own_outside = self._outside[left.labels]
        squared = (left.inverse * left.vectors**2).sum(axis=1)[:, None]
        squared = squared - 2.0 * (left.inverse * left.vectors) @ turned_means.T
        squared += left.inverse @ (turned_means**2).T
        along = (left.turned * left.vectors).sum(axis=1)[:, None] - left.turned @ turned_means.T
        squared += left.gain[:, None] * along**2
        if self.basis.shape[1] < self.dimension:
            apart = (own_outside**2).sum(axis=1)[:, None] - 2.0 * own_outside @ outside_means.T
            squared += (apart + (outside_means**2).sum(axis=1)) / left.sphere[:, None]
        # The mean of means moves by b times the deviation, and the drawn means with it.
        shift = (1.0 - drawn)[None, :] / ((count - 1.0) * categories)[:, None]
        length = left.reach + left.gain * left.reach**2
        squared += 2.0 * shift * along * (1.0 + left.gain * left.reach)[:, None]
        squared += shift**2 * length[:, None]
        stretch = 1.0 + own_drawn / (count - 1) + (1 - own_drawn) / ((count - 1) * categories)
        away = (1.0 - own_drawn)[:, None] * self._turned[left.labels]
        away = away + left.deviations * stretch[:, None]
        own = (left.inverse * away**2).sum(axis=1)
        own += left.gain * (left.turned * away).sum(axis=1) ** 2
        own += (1.0 - own_drawn) ** 2 * (own_outside**2).sum(axis=1) / left.sphere
        squared[np.arange(len(own)), left.labels] = own
        result: Array = squared
        return result

    def own_factor(self, rows: NDArray[np.int64], ratio: float) -> Array:
        """(m,) what a left-out exemplar's own distance is to be multiplied by.

        v(n) / v(n-1), with v(n) = 1 + L / (n L + 1) the variance of a new image about the drawn
        mean: then the distance is that of a new image from a category that has all n.
        """
        count = self.counts[self.labels[rows]]
        factor: Array = new_variance(count, ratio) / new_variance(count - 1, ratio)
        return factor

    def turned_deviations(self, rows: NDArray[np.int64]) -> Array:
        """(m, r) deviations of rows from the means of their categories, in the eigenbasis."""
        known = self._turned_rows
        if known is None or known[0] is not rows:  # asked for the same rows many times
            mapped = self._exemplars.take(rows).astype(np.float64)
            deviations = mapped - self.origin - self.means[self.labels[rows]]
            known = self._turned_rows = rows, deviations @ self.basis
        return known[1]

    @cached_property
    def trace(self) -> float:
        """Of the scatter."""
        return float(self._values.sum())


class _LeftOut:
    """What is known without each of some exemplars: inverse covariances diag(inverse) + gain t t'.

    Sherman-Morrison for the rank-one loss n/(n-1) dev dev' of scatter.
    """

    def __init__(self, gaussian: SharedGaussian, rows: NDArray[np.int64], shrinkage: float) -> None:
        self.labels = gaussian.labels[rows]
        self.count = gaussian.counts[self.labels]
        self.deviations: Array = gaussian.turned_deviations(rows)
        self.vectors: Array = self.deviations + gaussian._turned[self.labels]
        lost = self.count / (self.count - 1.0)
        freedom = gaussian.freedom - 1.0
        trace = gaussian.trace - lost * (self.deviations**2).sum(axis=1)
        self.sphere: Array = np.maximum(shrinkage * trace / freedom / gaussian.dimension, 1e-12)
        spread = (1 - shrinkage) * gaussian._values[None, :] / freedom
        self.inverse: Array = 1.0 / (spread + self.sphere[:, None])
        scale = (1 - shrinkage) / freedom * lost
        self.turned: Array = self.inverse * self.deviations
        self.reach: Array = (self.turned * self.deviations).sum(axis=1)
        self.gain: Array = scale / np.maximum(1.0 - scale * self.reach, 1e-9)


def category_sums(exemplars: Exemplars) -> Array:
    """(c, d) sums of each category's exemplars."""
    sums = np.zeros((int(exemplars.labels.max()) + 1, exemplars.dimension))
    for rows, part in _parts(exemplars):
        add_by_label(sums, exemplars.labels[rows], part)
    return sums


def add_by_label(sums: Array, labels: NDArray[np.integer], rows: Array) -> None:
    """Add each of (n, d) rows to the (c, d) sum that its label names, in place."""
    order = np.argsort(labels, kind="stable")
    labels = labels[order]
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    sums[labels[starts]] += np.add.reduceat(rows[order], starts, axis=0)


def _parts(exemplars: Exemplars) -> Iterator[tuple[NDArray[np.int64], Array]]:
    for start in range(0, len(exemplars.labels), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(exemplars.labels)))
        yield rows, exemplars.take(rows).astype(np.float64)


def draw_weight(count: Array, ratio: float) -> Array:
    """w(n) = n L / (n L + 1): how much of its own mean a category of n exemplars keeps."""
    weight: Array = count * ratio / (count * ratio + 1.0)
    return weight


def new_variance(count: Array, ratio: float) -> Array:
    """v(n) = 1 + L / (n L + 1): variance of a new image about a drawn mean, in units of within."""
    variance: Array = 1.0 + ratio / (count * ratio + 1.0)
    return variance
