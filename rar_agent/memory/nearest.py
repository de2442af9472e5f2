"""The nearest entries of a memory: exact, by a segment's index, or asked where they are kept."""

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
from rar_agent.memory.format.origin import origin_of
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
        away = [s for s in self._entries.segments if s.ref.modality == modality and not s.is_here]
        if away:
            found = self._away(modality, queries, count, allowed, in_order)
            scores.append(found[0])
            rows.append(found[1])
        for i, segment in enumerate(self._entries.segments):
            vectors = segment.mapped
            if segment.ref.modality != modality or vectors is None:
                continue
            selection = self._selection(i, allowed)
            if selection is not None and not selection.count:
                continue
            index = self._index(i)
            if index is not None:
                found = index.nearest(queries, count, selection)
            else:
                search = nearest_exact if in_order else shortlist_exact
                found = search(queries, vectors, count, selection)
            scores.append(found[0])
            rows.append(np.where(found[1] >= 0, found[1] + self._entries.offsets[i], -1))
        if len(scores) == 2:
            return scores[1], rows[1]
        merge = _merge if in_order else _merge_as_they_come
        return merge(np.concatenate(scores, axis=1), np.concatenate(rows, axis=1), count)

    def _away(
        self,
        modality: Modality,
        queries: FloatArray,
        count: int,
        allowed: NDArray[np.bool_] | None,
        in_order: bool,
    ) -> tuple[FloatArray, NDArray[np.int64]]:
        """Those of segments that are kept elsewhere, likewise."""
        origin, entries = origin_of(self._folder), self._entries
        assert origin is not None  # noqa: S101 - who else has them
        passing = None
        if allowed is not None:
            few = int(allowed.sum()) * 2 <= len(allowed)
            passing = entries.categories.ids[allowed == few], few
        found = origin.nearest(modality, queries, count, entries.last_id, passing, entries.removed)
        scores = np.full((len(queries), count), -np.inf, np.float32)
        rows = np.full((len(queries), count), -1, np.int64)
        for i, (cosines, ids) in enumerate(found):
            here = entries.rows_of_ids(ids)
            # What is not on record was written by somebody who has not committed it.
            fine = (here >= 0) & (entries.columns[here] >= 0)
            fine[fine] = self._is_away(here[fine])
            if allowed is not None:
                fine &= allowed[entries.columns[here]]
            here, cosines = here[fine][:count], cosines[fine][:count]
            if in_order and len(here):  # an index may have given the cosines of codes
                cosines = entries.vectors(here) @ queries[i]
            rows[i, : len(here)], scores[i, : len(here)] = here, cosines
        return (scores, rows) if not in_order else _merge(scores, rows, count)

    def _is_away(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) whether each row is of a segment that is kept elsewhere."""
        away = np.array([not segment.is_here for segment in self._entries.segments])
        owner = np.searchsorted(self._entries.offsets, rows, side="right") - 1
        found: NDArray[np.bool_] = away[owner]
        return found

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
        vectors = self._entries.segments[i].mapped
        assert vectors is not None  # noqa: S101 - others have no index here
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
