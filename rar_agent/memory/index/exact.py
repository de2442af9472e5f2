"""Exact inner-product search over memory-mapped vectors, by FAISS, without a copy of them."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.errors import InputError
from rar_agent.memory.index.score import best, score_rows
from rar_agent.memory.index.selection import Selection
from rar_agent.memory.index.untyped import faiss

_ROUNDING = 4e-6  # two ways to sum 4,096 products of unit rows differ by less (measured: 8e-7)
_MARGIN = 8  # rows fetched beyond those wanted, for ties at the cut
_MOST_TIES = 16_384
_OVERFETCHED = 0.5  # share of rows selected from which the others are fetched too, and dropped
_MOST_FETCHED = 16_384
_BLOCK = 65_536  # selected rows gathered at a time: 128 MiB at 512 dimensions

_FEW_ROWS = 512  # a thread costs more than it saves
_ROWS_PER_THREAD = 16_384  # at least, when a batch is divided

# FAISS leaves BLAS alone below 128,000 numbers in a batch; on 2 cores a batch of 32 queries of 512
# dimensions then took 96 ms instead of 30 (100,000 rows).
_BLAS_FROM = 2_048


_QUERIES_PER_THREAD = 16  # from here on products keep a thread busier than reading does


@cache
def threads() -> int:
    """How many threads FAISS may have; asked before anything here sets them."""
    return int(faiss.omp_get_max_threads())


def set_threads(queries: int) -> None:
    """One thread for one query, all for more; FAISS's setting is of the calling thread only.

    A second thread made a single query twice as slow at 100,000 rows (2 cores).
    """
    most = threads()
    faiss.omp_set_num_threads(1 if queries == 1 else most)


def nearest_exact(
    queries: FloatArray, vectors: FloatArray, count: int, selection: Selection | None = None
) -> tuple[FloatArray, NDArray[np.int64]]:
    """The nearest rows of each query, nearest first; of equal scores the smaller row comes first.

    The order of equal scores holds up to 16,384 rows that tie at the cut.

    Args:
        queries: (q, d) float32, unit rows.
        vectors: (n, d) float32, unit rows, C-contiguous; may be memory-mapped.
        count: Rows wanted for each query; at least 1.
        selection: Rows that may be returned; all if None.

    Returns:
        Inner products (float32, -1 to 1) and rows (int64), each (q, k) where k is `count`, or
        all rows that may be returned if those are fewer.

    Raises:
        InputError: Shapes or types do not fit together.
    """
    queries = checked(queries, vectors, count, selection)
    usable = len(vectors) if selection is None else selection.count
    count = min(count, usable)
    if not count or not len(queries):
        return np.empty((len(queries), count), np.float32), np.empty(
            (len(queries), count), np.int64
        )
    fetched = min(usable, count + _MARGIN)
    rows = _candidates(queries, vectors, fetched, selection)
    scores, rows = best(score_rows(queries, vectors, rows), rows, fetched)
    found = scores[:, :count].copy(), rows[:, :count].copy()
    limit = min(usable, max(count + _MARGIN, _MOST_TIES))
    tied = np.flatnonzero(scores[:, count - 1] - scores[:, -1] <= _ROUNDING)
    while fetched < limit and len(tied):
        fetched = min(limit, 8 * fetched)
        rows = _candidates(queries[tied], vectors, fetched, selection)
        scores, rows = best(score_rows(queries[tied], vectors, rows), rows, fetched)
        found[0][tied], found[1][tied] = scores[:, :count], rows[:, :count]
        tied = tied[scores[:, count - 1] - scores[:, -1] <= _ROUNDING]
    return found


def shortlist_exact(
    queries: FloatArray, vectors: FloatArray, count: int, selection: Selection | None = None
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Like `nearest_exact`, in no order; ties and last bits are as they come.

    For a first step whose finds are scored again.
    """
    if selection is not None:
        return nearest_exact(queries, vectors, count, selection)
    queries = checked(queries, vectors, count, None)
    return _knn(queries, vectors, min(count, len(vectors)))


def _candidates(
    queries: FloatArray, vectors: FloatArray, count: int, selection: Selection | None
) -> NDArray[np.int64]:
    """Rows (q, count) that hold the nearest `count`; the order is FAISS's."""
    if selection is None or selection.count == selection.total:
        return _knn(queries, vectors, count)[1]
    enough = count + selection.total - selection.count  # even if all removed rows were nearest
    fetched = min(enough, math.ceil(count / selection.fraction) + _MARGIN)
    while selection.fraction >= _OVERFETCHED and fetched <= _MOST_FETCHED:
        rows = _knn(queries, vectors, fetched)[1]
        kept = selection.mask[rows]
        if (kept.sum(axis=1) >= count).all():
            order = np.argsort(~kept, axis=1, kind="stable")[:, :count]
            return np.take_along_axis(rows, order, axis=1)
        fetched = max(fetched + 1, min(enough, 8 * fetched))
    chosen = selection.rows
    scores = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    for first in range(0, len(chosen), _BLOCK):
        part = chosen[first : first + _BLOCK]
        near, places = _knn(queries, vectors[part], min(count, len(part)))
        scores, rows = np.hstack([scores, near]), np.hstack([rows, part[places]])
        scores, rows = best(scores, rows, min(count, rows.shape[1]))
    return rows


def _knn(
    queries: FloatArray, vectors: FloatArray, count: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """FAISS's search; for a batch, threads of our own each search a part of the rows.

    FAISS's threads wait for each other by spinning, after every 1,024 rows: on 2 cores that others
    used too, 8 queries took 2,300 ms with them and 22 ms with one thread (100,000 rows).
    """
    faiss.cvar.distance_compute_blas_threshold = _BLAS_FROM
    most = threads()
    if len(vectors) < _FEW_ROWS:
        return _knn_part(queries, vectors, count)
    if len(queries) >= most * _QUERIES_PER_THREAD:
        # Each thread its own queries: there is nothing to merge.
        with ThreadPoolExecutor(most) as pool:
            shares = np.array_split(queries, most)
            done = list(pool.map(lambda share: _knn_part(share, vectors, count), shares))
        return np.vstack([s for s, _ in done]), np.vstack([r for _, r in done])
    parts = 1 if len(queries) == 1 else min(most, max(1, len(vectors) // _ROWS_PER_THREAD))
    if parts == 1:
        return _knn_part(queries, vectors, count)
    firsts = [len(vectors) * part // parts for part in range(parts + 1)]
    spans = [slice(first, end) for first, end in pairwise(firsts)]
    with ThreadPoolExecutor(parts) as pool:
        searched = pool.map(lambda span: _knn_part(queries, vectors[span], count), spans)
        found = list(searched)
    scores = np.hstack([scores for scores, _ in found])
    rows = np.hstack([rows + span.start for span, (_, rows) in zip(spans, found, strict=True)])
    return best(scores, rows, count)


def _knn_part(
    queries: FloatArray, vectors: FloatArray, count: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    faiss.omp_set_num_threads(1)
    wanted = min(count, len(vectors))
    scores, rows = faiss.knn(queries, vectors, wanted, metric=faiss.METRIC_INNER_PRODUCT)
    return scores, rows


def checked(
    queries: FloatArray, vectors: FloatArray, count: int, selection: Selection | None
) -> FloatArray:
    """The queries, C-contiguous float32, after checking that a search is possible.

    Raises:
        InputError: Shapes or types do not fit together, or a number is not finite.
    """
    if queries.ndim != 2 or vectors.ndim != 2 or queries.shape[1] != vectors.shape[1]:
        raise InputError(
            f"Queries of shape {queries.shape} for vectors of shape {vectors.shape}.",
            "Give (q, d) queries of the vectors' dimension.",
        )
    if vectors.dtype != np.float32 or not vectors.flags.c_contiguous:
        raise InputError(
            f"Vectors are {vectors.dtype}, C-contiguous: {vectors.flags.c_contiguous}.",
            "Give C-contiguous float32; anything else would be copied at each search.",
        )
    if count < 1 or (selection is not None and selection.total != len(vectors)):
        of = "all" if selection is None else f"a selection from {selection.total}"
        raise InputError(
            f"{count} nearest of {len(vectors)} rows, {of}.",
            "Ask for at least 1, with a selection made for these vectors.",
        )
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if not np.isfinite(queries).all():
        raise InputError("A query holds a number that is not finite.", "Encode the image again.")
    return queries
