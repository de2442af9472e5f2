"""Inner products of given rows, computed one way everywhere, and their order.

FAISS rounds differently for one query and for many (BLAS, or not). Scores that are compared, over
segments or between an exact and an approximate search, are all computed here, so equal rows get
equal scores to the last bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray

NO_ROW = -1
"""Stands where fewer rows were found than were wanted; its score is minus infinity."""

_GATHERED = 1 << 24  # floats copied at a time: 64 MiB


def score_rows(queries: FloatArray, vectors: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
    """Inner products of each query with its own rows.

    Args:
        queries: (q, d) float32.
        vectors: (n, d) float32, may be memory-mapped: only the rows asked for are read.
        rows: (q, k) numbers of rows; `NO_ROW` for none.

    Returns:
        (q, k) float32; minus infinity at `NO_ROW`.
    """
    scores = np.empty(rows.shape, np.float32)
    width = max(1, min(rows.shape[1], _GATHERED // queries.shape[1]))
    step = max(1, _GATHERED // (width * queries.shape[1]))
    for first in range(0, len(rows), step):
        for left in range(0, rows.shape[1], width):
            part = (slice(first, first + step), slice(left, left + width))
            gathered = vectors[np.maximum(rows[part], 0)]
            scores[part] = np.einsum("qkd,qd->qk", gathered, queries[first : first + step])
    scores[rows == NO_ROW] = -np.inf
    return scores


def best(
    scores: FloatArray, rows: NDArray[np.int64], count: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """The best `count` of each line, best first; of equal scores the smaller row comes first.

    Args:
        scores: (q, k) float32.
        rows: (q, k) numbers of rows, different within a line but for `NO_ROW`.
        count: Columns wanted; at most k.

    Returns:
        Scores and rows, each (q, count).
    """
    order = np.lexsort((rows, -scores), axis=1)[:, :count]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
