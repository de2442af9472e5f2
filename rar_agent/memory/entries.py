"""The live entries of a generation, over all its segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.memory.format.categories import Categories
from rar_agent.memory.format.manifest import ENTRY, MODALITIES
from rar_agent.memory.format.segment import OpenSegment
from rar_agent.types import Modality

_SPARSE = 64  # so many times as many ids as there are things of an id are too many to mark each


class Entries:
    """Rows of all segments, one after another; removed ones keep their places.

    Args:
        segments: Opened segments.
        removed: Ids of removed entries, ascending.
        categories: Of the same generation.
    """

    def __init__(
        self, segments: Sequence[OpenSegment], removed: NDArray[np.int64], categories: Categories
    ) -> None:
        self.segments = tuple(segments)
        self.removed = removed
        self.categories = categories
        self._grouped: dict[Modality, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._counts: dict[Modality, NDArray[np.int64]] = {}
        counts = [segment.ref.count for segment in self.segments]
        self.offsets: NDArray[np.int64] = np.cumsum([0, *counts]).astype(np.int64)
        """(s + 1) where each segment's rows begin."""

    def __len__(self) -> int:
        return int(self.offsets[-1]) - len(self.removed)

    @cached_property
    def modalities(self) -> tuple[Modality, ...]:
        """Those that there are live entries of."""
        found = {segment.ref.modality for segment in self.segments}
        if len(self.removed):
            found = {modality for modality in found if len(self.rows(modality))}
        return tuple(modality for modality in MODALITIES if modality in found)

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """(c,) whether each category has a live entry; those without are branches."""
        numbers = self.categories.ids
        if int(numbers.max(initial=0)) > _SPARSE * (len(numbers) + len(self)) + _SPARSE:
            parts = [segment.entries["category"] for segment in self.segments]
            return np.isin(numbers, np.concatenate(parts)[self.live] if parts else [])
        found = np.zeros(1 + int(numbers.max(initial=0)), bool)
        for segment in self.segments:  # by id: positions of all rows would take ten times as long
            ids = segment.entries["category"]
            if len(self.removed):
                ids = ids[~np.isin(segment.entries["id"], self.removed)]
            np.put(found, ids, True, mode="clip")  # `columns` says what is damaged
        return found[numbers]

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """(n,) ids of the live entries, in the order of their rows."""
        return self._all_ids[self.live]

    @cached_property
    def live(self) -> NDArray[np.int64]:
        """(n,) rows of the live entries."""
        return np.flatnonzero(self.columns >= 0)

    @cached_property
    def columns(self) -> NDArray[np.int32]:
        """(rows,) position of each row's category; -1 where the entry was removed.

        Raises:
            DamagedDataError: An entry names a category that is not there, or two have an id.
        """
        self._check_ids()
        parts = [segment.entries["category"] for segment in self.segments]
        ids = np.concatenate([np.empty(0, np.int32), *parts])
        columns = self.categories.columns(ids).astype(np.int32)
        dead = np.zeros(len(columns), bool)
        if len(self.removed):
            dead = np.isin(self._all_ids, self.removed)
        lost = np.flatnonzero((columns < 0) & ~dead)
        if len(lost):
            segment, row = self._place(int(lost[0]))
            number = int(segment.entries[row]["category"])
            raise segment.damaged("entries", f"there is no category of id {number}")
        columns[dead] = -1
        return columns

    def _check_ids(self) -> None:
        """Check that ids are where the manifest has them, and in no place twice."""
        for segment in self.segments:
            ids = segment.entries["id"]
            found, said = (ids.min(), ids.max()), (segment.ref.first_id, segment.ref.last_id)
            if found != said:
                why = f"ids are {found[0]} to {found[1]}, not {said[0]} to {said[1]}"
                raise segment.damaged("entries", why)
        ids = self._all_ids
        if (np.diff(ids) <= 0).any() and not _distinct(ids):
            again = np.flatnonzero(np.diff(np.sort(ids)) == 0)[0]
            number = int(np.sort(ids)[again])
            last = next(s for s in reversed(self.segments) if number in s.entries["id"])
            raise last.damaged("entries", f"the id {number} is there twice")

    @cached_property
    def _all_ids(self) -> NDArray[np.int64]:
        parts = [segment.entries["id"] for segment in self.segments]
        return np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64)

    def rows(self, modality: Modality) -> NDArray[np.int64]:
        """Rows of the live entries of a modality."""
        parts = [
            start + np.flatnonzero(self.columns[start : start + segment.ref.count] >= 0)
            for segment, start in zip(self.segments, self.offsets[:-1], strict=True)
            if segment.ref.modality == modality
        ]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def rows_of(self, modality: Modality, columns: NDArray[np.integer]) -> NDArray[np.int64]:
        """Rows of the live entries of some categories, grouped in the order asked for."""
        rows, starts = self._by_column(modality)
        spans = [rows[starts[column] : starts[column + 1]] for column in columns]
        return np.concatenate([np.empty(0, np.int64), *spans])

    def counts(self, modality: Modality) -> NDArray[np.int64]:
        """(c,) live entries of each category; read only."""
        if modality not in self._counts:
            found = np.diff(self._by_column(modality)[1])
            found.flags.writeable = False
            self._counts[modality] = found
        return self._counts[modality]

    @cached_property
    def are_here(self) -> bool:
        """Whether all vectors are mapped, and none is kept elsewhere."""
        return all(segment.is_here for segment in self.segments)

    def _by_column(self, modality: Modality) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows sorted by category, and (c + 1) where each category's begin."""
        if modality not in self._grouped:
            rows = self.rows(modality)
            columns = self.columns[rows]
            if (np.diff(columns) < 0).any():  # compacted segments are in order
                order = np.argsort(columns, kind="stable")
                rows, columns = rows[order], columns[order]
            starts = np.searchsorted(columns, np.arange(len(self.categories) + 1))
            self._grouped[modality] = rows, starts.astype(np.int64)
        return self._grouped[modality]

    def vectors(self, rows: NDArray[np.integer]) -> FloatArray:
        """(n, d) vectors of rows."""
        dimension = self.segments[0].vectors.shape[1] if self.segments else 0
        found = np.empty((len(rows), dimension), np.float32)
        for i, here in self._by_segment(rows):
            found[here] = self.segments[i].vectors[rows[here] - self.offsets[i]]
        return found

    def fields(self, rows: NDArray[np.integer]) -> NDArray[np.void]:
        """(n,) of `ENTRY`: what is stored of rows beside their vectors."""
        found = np.empty(len(rows), ENTRY)
        for i, here in self._by_segment(rows):
            found[here] = self.segments[i].entries[rows[here] - self.offsets[i]]
        return found

    def _by_segment(self, rows: NDArray[np.integer]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Segments that rows lie in, and which of the rows each holds."""
        owner = np.searchsorted(self.offsets, rows, side="right") - 1
        for i in np.unique(owner):
            yield int(i), np.flatnonzero(owner == i)

    def id_of(self, row: int) -> int:
        """Stable id of a row's entry."""
        segment, within = self._place(row)
        return int(segment.entries[within]["id"])

    def row_of(self, entry: int) -> int | None:
        """Row of a live entry's id, or None."""
        for i, segment in enumerate(self.segments):
            if segment.ref.first_id <= entry <= segment.ref.last_id:
                found = np.flatnonzero(segment.entries["id"] == entry)
                row = int(self.offsets[i]) + int(found[0]) if len(found) else -1
                if row >= 0 and self.columns[row] >= 0:
                    return row
        return None

    def rows_of_ids(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) rows of entries by id, removed ones too; -1 where there is none."""
        order, known = self._by_id
        if not len(known):
            return np.full(len(ids), -1, np.int64)
        place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        return np.where(known[place] == ids, order[place], -1)

    @cached_property
    def last_id(self) -> int:
        """The largest id, of removed ones too; -1 without any."""
        return max((segment.ref.last_id for segment in self.segments), default=-1)

    @cached_property
    def _by_id(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows in the order of their ids, and these."""
        order = np.argsort(self._all_ids, kind="stable").astype(np.int64)
        return order, self._all_ids[order]

    def source(self, row: int) -> str:
        """Where a row's entry came from."""
        segment, within = self._place(row)
        return segment.source(within)

    def thumbnail(self, row: int) -> bytes:
        """A small JPEG of a row's image; empty where none is kept."""
        segment, within = self._place(row)
        return segment.thumbnail(within)

    def _place(self, row: int) -> tuple[OpenSegment, int]:
        i = int(np.searchsorted(self.offsets, row, side="right")) - 1
        return self.segments[i], row - int(self.offsets[i])


def _distinct(ids: NDArray[np.int64]) -> bool:
    """Whether no id is there twice."""
    first, span = int(ids.min()), int(ids.max()) - int(ids.min()) + 1
    if span > _SPARSE * len(ids):
        return len(np.unique(ids)) == len(ids)
    seen = np.zeros(span, bool)  # a sort of a million takes ten times as long
    seen[ids - first] = True
    return int(seen.sum()) == len(ids)
