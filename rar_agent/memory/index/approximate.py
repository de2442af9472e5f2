"""Approximate search in an opened index file, scored exactly from the mapped vectors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.memory.index.exact import checked, nearest_exact, set_threads
from rar_agent.memory.index.score import best, score_rows
from rar_agent.memory.index.selection import Selection
from rar_agent.memory.index.spec import IndexSpec
from rar_agent.memory.index.untyped import FaissObject, faiss

# A search among few rows finds too few of them in a graph or in lists; gathering them is exact.
_GATHER_ROWS = 10_000
_GATHER_FRACTION = 0.1


class ApproximateIndex:
    """An index that finds rows approximately; their scores are exact. Searching is thread-safe.

    Made by `open_index`.

    Attributes:
        spec: What it was built to, and how much a search looks at.
    """

    def __init__(
        self,
        index: FaissObject,
        spec: IndexSpec,
        vectors: FloatArray,
        storage: FaissObject | None = None,
    ) -> None:
        self.spec = spec
        self._index = index
        self._vectors = vectors
        self._storage = storage  # a graph does not own it

    def __len__(self) -> int:
        return self.spec.count

    def with_effort(self, effort: int, rerank: int | None = None) -> ApproximateIndex:
        """The same open index, searched with another `IndexSpec.effort` (and `rerank`)."""
        spec = replace(self.spec, effort=effort, rerank=rerank or self.spec.rerank)
        return ApproximateIndex(self._index, spec, self._vectors, self._storage)

    def nearest(
        self, queries: FloatArray, count: int, selection: Selection | None = None
    ) -> tuple[FloatArray, NDArray[np.int64]]:
        """Rows near each query, nearest first; of equal scores the smaller row comes first.

        A selection of few rows is searched exactly.

        Args:
            queries: (q, d) float32, unit rows.
            count: Rows wanted for each query; at least 1.
            selection: Rows that may be returned; all if None.

        Returns:
            Inner products (float32, the same bits as `nearest_exact` gives) and rows (int64),
            each (q, k) where k is `count`, or all rows that may be returned if those are fewer.
            Where fewer were found, a line ends in scores of minus infinity and rows of -1
            (`score.NO_ROW`).

        Raises:
            InputError: Shapes or types do not fit together.
        """
        queries = checked(queries, self._vectors, count, selection)
        usable = len(self) if selection is None else selection.count
        fraction = usable / len(self)
        if usable <= count or (
            selection is not None and (usable <= _GATHER_ROWS or fraction < _GATHER_FRACTION)
        ):
            return nearest_exact(queries, self._vectors, count, selection)
        fetched = min(usable, count * self.spec.rerank)
        parameters = self._parameters(fetched, fraction)
        if usable < len(self) and selection is not None:
            parameters.sel = selection.selector
        set_threads(len(queries))
        rows = self._index.search(queries, fetched, params=parameters)[1]
        return best(score_rows(queries, self._vectors, rows), rows, count)

    def _parameters(self, fetched: int, fraction: float) -> FaissObject:
        """Search parameters; where rows are excluded, as many more are looked at."""
        effort = math.ceil(self.spec.effort / fraction)
        if self.spec.kind == "hnsw":
            graph = faiss.SearchParametersHNSW()
            graph.efSearch = max(effort, math.ceil(fetched / fraction))
            return graph
        lists = faiss.IVFSearchParameters()
        lists.nprobe = min(effort, self.spec.lists)
        return lists


def flat_view(vectors: FloatArray) -> FaissObject:
    """A FAISS index over the vectors' own memory; it must not outlive them or be added to."""
    flat = faiss.IndexFlatIP(vectors.shape[1])
    raw = np.asarray(vectors).reshape(-1).view(np.uint8)
    nobody = faiss.MaybeOwnedVectorUInt8().owner
    flat.codes = faiss.MaybeOwnedVectorUInt8.create_view(faiss.swig_ptr(raw), raw.nbytes, nobody)
    flat.ntotal = len(vectors)
    return flat
