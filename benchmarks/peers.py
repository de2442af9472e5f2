"""The single methods that the fitted scoring is compared with, written down plainly."""

from __future__ import annotations

import numpy as np

from rar_agent.encoders import FloatArray

SHRINKAGES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    found: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return found


def means(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(c, d) mean of each category."""
    sums = np.zeros((labels.max() + 1, vectors.shape[1]))
    np.add.at(sums, labels, vectors)
    return sums / np.bincount(labels)[:, None]


def nearest(vectors: FloatArray, labels: np.ndarray, queries: FloatArray) -> np.ndarray:
    """The paper's: the category of the nearest exemplar; (q, c) its best cosine."""
    cosines = queries @ vectors.T
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(labels.max() + 1))
    scores: np.ndarray = np.maximum.reduceat(cosines[:, order], starts, axis=1)
    return scores


def prototype(vectors: FloatArray, labels: np.ndarray, queries: FloatArray) -> np.ndarray:
    """Cosine with each category's mean."""
    scores: np.ndarray = queries @ unit(means(vectors, labels)).T
    return scores


def tip_adapter(
    vectors: FloatArray, labels: np.ndarray, queries: FloatArray, sharpness: float = 5.5
) -> np.ndarray:
    """Tip-Adapter's cache alone, with its own beta: summed affinities."""
    affinities = np.exp(-sharpness * (1.0 - queries @ vectors.T))
    scores: np.ndarray = affinities @ np.eye(labels.max() + 1)[labels]
    return scores


def gda(vectors: FloatArray, labels: np.ndarray, queries: FloatArray) -> np.ndarray:
    """GDA, its shrinkage chosen by leaving one out of mean and covariance, by accuracy."""
    if np.bincount(labels).min() < 2:
        return prototype(vectors, labels, queries)
    best = max(reversed(SHRINKAGES), key=lambda a: _left_out_accuracy(vectors, labels, a))
    centres = means(vectors, labels)
    weights = centres @ _precision(vectors.astype(np.float64) - centres[labels], best, len(centres))
    scores: np.ndarray = queries @ weights.T - 0.5 * (weights * centres).sum(axis=1)
    return scores


def _precision(deviations: np.ndarray, shrinkage: float, categories: int) -> np.ndarray:
    freedom, dimension = len(deviations) - categories, deviations.shape[1]
    scatter = deviations.T @ deviations / freedom
    sphere = np.trace(scatter) / dimension * np.eye(dimension)
    inverse: np.ndarray = np.linalg.inv((1 - shrinkage) * scatter + shrinkage * sphere)
    return inverse


def _left_out_accuracy(vectors: FloatArray, labels: np.ndarray, shrinkage: float) -> float:
    """With the rank-one update of the covariance, the trace left as it is."""
    centres = means(vectors, labels)
    deviations = vectors.astype(np.float64) - centres[labels]
    precision = _precision(deviations, shrinkage, len(centres))
    counts = np.bincount(labels)[labels]
    ratio = counts / (counts - 1.0)
    freedom = len(labels) - len(centres)
    turned = deviations @ precision
    reach = (turned * deviations).sum(axis=1)
    scale = (1 - shrinkage) / freedom * ratio
    gain = scale / np.maximum(1.0 - scale * reach, 1e-9)
    rows = vectors.astype(np.float64) @ precision
    squared = (rows * vectors).sum(axis=1)[:, None] - 2.0 * rows @ centres.T
    squared += ((centres @ precision) * centres).sum(axis=1)
    along = (turned * vectors).sum(axis=1)[:, None] - turned @ centres.T
    squared += gain[:, None] * along**2
    own = ratio**2 * (reach + gain * reach**2)
    squared[np.arange(len(labels)), labels] = own
    return float((squared.argmin(axis=1) == labels).mean())


def root(vectors: FloatArray) -> FloatArray:
    """Square roots of features, then length 1."""
    mapped: FloatArray = unit(np.sqrt(np.maximum(vectors, 0.0))).astype(np.float32)
    return mapped
