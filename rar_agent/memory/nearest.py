"""The nearest entries of a memory: exact, or by an index where a segment has one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.errors import DamagedDataError, InputError
from rar_agent.forks import Lock
from rar_agent.memory.entries import Entries
from rar_agent.memory.format.files import DATA
from rar_agent.memory.format.manifest import IndexRef
from rar_agent.memory.index.approximate import ApproximateIndex
from rar_agent.memory.index.exact import nearest_exact, shortlist_exact
from rar_agent.memory.index.read import open_index
from rar_agent.memory.index.selection import Selection
from rar_agent.memory.index.spec import IndexSpec
from rar_agent.memory.index.trust import Trust
from rar_agent.telemetry import events
from rar_agent.types import Modality

_log = events(__name__)


class Nearest:
    """Searches all segments of a modality and merges what they find. Thread-safe.

    Args:
        folder: The memory's folder.
        entries: The memory's.
    """

    def __init__(self, folder: Path, entries: Entries) -> None:
        self._folder = folder
        self._entries = entries
        self._lock = Lock()
        self._indexes: dict[int, ApproximateIndex | None] = {}
        self._live: dict[int, Selection | None] = {}

    def rows(
        self,
        modality: Modality,
        queries: FloatArray,
        count: int,
        allowed: NDArray[np.bool_] | None = None,
        in_order: bool = True,
    ) -> tuple[FloatArray, NDArray[np.int64]]:
        """The nearest live entries of each query, nearest first; ties by row.

        Args:
            modality: Of the entries.
            queries: (q, d) unit rows.
            count: Entries wanted.
            allowed: (c,) whether entries of each category may be returned; None for all.
            in_order: Whether order, ties and last bits matter; a shortlist is scored again anyway.

        Returns:
            Cosines and rows, each (q, k); where fewer were found, minus infinity and -1.
        """
        scores = [np.empty((len(queries), 0), np.float32)]
        rows = [np.empty((len(queries), 0), np.int64)]
        for i, segment in enumerate(self._entries.segments):
            if segment.ref.modality != modality:
                continue
            selection = self._selection(i, allowed)
            if selection is not None and not selection.count:
                continue
            index = self._index(i)
            if index is not None:
                found = index.nearest(queries, count, selection)
            else:
                search = nearest_exact if in_order else shortlist_exact
                found = search(queries, segment.vectors, count, selection)
            scores.append(found[0])
            rows.append(np.where(found[1] >= 0, found[1] + self._entries.offsets[i], -1))
        if len(scores) == 2:
            return scores[1], rows[1]
        merge = _merge if in_order else _merge_as_they_come
        return merge(np.concatenate(scores, axis=1), np.concatenate(rows, axis=1), count)

    def _selection(self, i: int, allowed: NDArray[np.bool_] | None) -> Selection | None:
        start, segment = int(self._entries.offsets[i]), self._entries.segments[i]
        if allowed is not None:
            columns = self._entries.columns[start : start + segment.ref.count]
            passing = np.flatnonzero((columns >= 0) & allowed[columns])
            return Selection(segment.ref.count, allowed=passing)
        with self._lock:
            if i not in self._live:
                self._live[i] = None
                if len(self._entries.removed):
                    columns = self._entries.columns[start : start + segment.ref.count]
                    dead = np.flatnonzero(columns < 0)
                    if len(dead):
                        self._live[i] = Selection(segment.ref.count, removed=dead)
            return self._live[i]

    def _index(self, i: int) -> ApproximateIndex | None:
        """The index of a segment, opened once; None where it has none that may be parsed here."""
        ref = self._entries.segments[i].ref
        if ref.index is None:
            return None
        with self._lock:
            if i not in self._indexes:
                self._indexes[i] = None
                path = self._folder / DATA / ref.index.file.name
                with Trust().opened(path, ref.index.file.sha256) as trusted:
                    if trusted is not None:
                        self._indexes[i] = self._open(trusted, i, ref.index)
                if self._indexes[i] is None:
                    why = "damaged" if trusted is not None else "not built on this machine"
                    _log.info("an index is not used, search is exact", file=path, reason=why)
            return self._indexes[i]

    def _open(self, path: Path, i: int, ref: IndexRef) -> ApproximateIndex | None:
        vectors = self._entries.segments[i].vectors
        with suppress(DamagedDataError, InputError):  # exact search needs none
            spec = IndexSpec(ref.kind, len(vectors), vectors.shape[1], **ref.parameters)
            return open_index(path, spec, vectors)
        return None


def _merge(
    scores: FloatArray, rows: NDArray[np.int64], count: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    order = np.lexsort((rows, -scores), axis=1)[:, :count]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)


def _merge_as_they_come(
    scores: FloatArray, rows: NDArray[np.int64], count: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Like `_merge`, in no order: sorting took a third of a batch's search of 10,000 entries."""
    if scores.shape[1] <= count:
        return scores, rows
    chosen = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    return np.take_along_axis(scores, chosen, 1), np.take_along_axis(rows, chosen, 1)
