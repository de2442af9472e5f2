"""Sums of mapped exemplars by category: stored with the fit, kept current by what changed.

A memory of a million exemplars is not summed again each time it is opened: the sums at the time
of the fit are stored, and entries learnt or removed since are added and taken off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.memory.entries import Entries
from rar_agent.memory.format.categories import Categories
from rar_agent.memory.scoring.features import FeatureMap, map_features
from rar_agent.memory.scoring.gaussian import add_by_label

_CHUNK = 16_384  # rows read and mapped at a time


class Sums:
    """Counts and sums of mapped exemplars, for every category.

    Attributes:
        ids: (c,) category ids, ascending.
        counts: (c,) exemplars.
        sums: (c, d) float64.
    """

    def __init__(self, ids: NDArray[np.int64], dimension: int) -> None:
        self.ids = ids
        self.counts: NDArray[np.float64] = np.zeros(len(ids))
        self.sums: NDArray[np.float64] = np.zeros((len(ids), dimension))

    def add(self, columns: NDArray[np.integer], mapped: FloatArray, sign: float = 1.0) -> None:
        """Add exemplars, or take them off with the sign -1.

        Args:
            columns: (n,) positions in `ids`.
            mapped: (n, d) mapped exemplars.
            sign: 1 or -1.
        """
        if len(columns):
            add_by_label(self.sums, columns, sign * mapped.astype(np.float64))
            self.counts += sign * np.bincount(columns, minlength=len(self.ids))


def sum_rows(
    sums: Sums,
    entries: Entries,
    rows: NDArray[np.int64],
    columns: NDArray[np.integer],
    feature_map: FeatureMap,
    sign: float = 1.0,
) -> None:
    """Add rows of a memory to sums, a part at a time.

    Args:
        sums: Changed in place.
        entries: The memory's.
        rows: (n,) rows.
        columns: (n,) their categories' positions in the sums.
        feature_map: As the sums have it.
        sign: 1 or -1.
    """
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        mapped = map_features(entries.vectors(rows[part]), feature_map)
        sums.add(columns[part], mapped, sign)


def current_sums(
    entries: Entries,
    categories: Categories,
    feature_map: FeatureMap,
    stored: tuple[NDArray[np.int64], NDArray[np.float64], FloatArray] | None,
    next_entry: int,
    removed_before: NDArray[np.int64],
) -> Sums:
    """Sums over the live exemplars.

    Args:
        entries: The memory's.
        categories: Of the same generation.
        feature_map: What the exemplars are mapped by.
        stored: Ids, counts and sums at the time of the fit; None to sum all.
        next_entry: Ids from here on were learnt since.
        removed_before: Ids that were removed before the fit.
    """
    dimension = entries.segments[0].vectors.shape[1] if entries.segments else 0
    sums = Sums(categories.ids, dimension)
    if stored is None:
        rows = entries.rows("image")
        sum_rows(sums, entries, rows, entries.columns[rows], feature_map)
        return sums
    ids, counts, vectors = stored
    columns = categories.columns(ids)
    known = columns >= 0
    sums.counts[columns[known]] = counts[known]
    sums.sums[columns[known]] = vectors[known]
    for segment, start in zip(entries.segments, entries.offsets[:-1], strict=True):
        if segment.ref.modality != "image" or segment.ref.last_id < next_entry:
            continue
        rows = int(start) + np.flatnonzero(segment.entries["id"] >= next_entry)
        rows = rows[entries.columns[rows] >= 0]
        sum_rows(sums, entries, rows, entries.columns[rows], feature_map)
    since = np.setdiff1d(entries.removed[entries.removed < next_entry], removed_before)
    if len(since):
        rows, owners = _removed_images(entries, since, categories)
        live = owners >= 0  # a removed category's sums are gone with it
        sum_rows(sums, entries, rows[live], owners[live], feature_map, -1.0)
        empty = sums.counts < 0.5
        sums.counts[empty], sums.sums[empty] = 0.0, 0.0
    return sums


def _removed_images(
    entries: Entries, ids: NDArray[np.int64], categories: Categories
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, owners = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for segment, start in zip(entries.segments, entries.offsets[:-1], strict=True):
        if segment.ref.modality == "image":
            within = np.flatnonzero(np.isin(segment.entries["id"], ids))
            rows.append(int(start) + within)
            owners.append(categories.columns(segment.entries["category"][within]))
    return np.concatenate(rows), np.concatenate(owners)
