"""Merging segments and layers, so that a memory taught bit by bit opens and searches as fast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rar_agent.memory.format.categories import Categories, write_layer
from rar_agent.memory.format.manifest import ENTRY, MODALITIES, LayerRef, SegmentRef
from rar_agent.memory.format.segment import OpenSegment, Part, open_segment, segment_writer

SMALL = 4_096
"""Rows of a segment or layer that is merged with its like when there are many."""
MOST_SMALL = 32
"""Small segments of a modality, or layers, that are left alone."""
_CHUNK = 8_192  # rows copied at a time


def merge_small(folder: Path, segments: Sequence[SegmentRef], dimension: int) -> list[SegmentRef]:
    """Merge the small segments of each modality, where there are too many of them.

    Removed entries are copied too: the tombstones and the statistics that were fitted stay valid.
    """
    kept = list(segments)
    for modality in MODALITIES:
        small = [s for s in kept if s.modality == modality and s.count < SMALL]
        if len(small) > MOST_SMALL:
            opened = [open_segment(folder, ref, dimension) for ref in small]
            merged = merge_segments(folder, opened, np.empty(0, np.int64))
            kept = [s for s in kept if s not in small] + ([merged] if merged else [])
    return kept


def merge_all(
    folder: Path, segments: Sequence[OpenSegment], removed: NDArray[np.int64]
) -> list[SegmentRef]:
    """One segment for each modality, without removed entries; what is so already stays."""
    found = []
    for modality in MODALITIES:
        parts = [segment for segment in segments if segment.ref.modality == modality]
        if len(parts) == 1 and not np.isin(parts[0].entries["id"], removed).any():
            found.append(parts[0].ref)
        elif parts and (merged := merge_segments(folder, parts, removed)):
            found.append(merged)
    return found


def merge_segments(
    folder: Path, segments: Sequence[OpenSegment], removed: NDArray[np.int64]
) -> SegmentRef | None:
    """Write the entries of segments of one modality as one, ordered by category and id.

    Args:
        folder: The memory's folder.
        segments: At least one, all of one modality.
        removed: Ids of entries to leave out.

    Returns:
        The new segment; None where nothing is left.
    """
    ids = np.concatenate([segment.entries["id"] for segment in segments])
    categories = np.concatenate([segment.entries["category"] for segment in segments])
    owner = np.repeat(np.arange(len(segments)), [len(s.entries) for s in segments])
    row = np.concatenate([np.arange(len(s.entries)) for s in segments])
    order = np.lexsort((ids, categories))
    order = order[~np.isin(ids[order], removed)]
    if not len(order):
        return None
    with segment_writer(folder) as writer:
        for start in range(0, len(order), _CHUNK):
            part = order[start : start + _CHUNK]
            writer.append(_gather(segments, owner[part], row[part]))
    return writer.ref(segments[0].ref.modality)


def _gather(
    segments: Sequence[OpenSegment], owner: NDArray[np.int64], row: NDArray[np.int64]
) -> Part:
    """Rows of several segments, in the order asked for; each segment is read once."""
    entries = np.empty(len(row), ENTRY)
    vectors = np.empty((len(row), segments[0].vectors.shape[1]), np.float32)
    sources, thumbnails = [b""] * len(row), [b""] * len(row)
    for i in np.unique(owner):
        here = np.flatnonzero(owner == i)
        part = segments[i].take(row[here])
        entries[here], vectors[here] = part.entries, part.vectors
        for place, source, thumbnail in zip(here, part.sources, part.thumbnails, strict=True):
            sources[place], thumbnails[place] = source, thumbnail
    return Part(entries, vectors, sources, thumbnails)


def merge_small_layers(folder: Path, layers: Sequence[LayerRef]) -> list[LayerRef]:
    """Merge the newest layers, where there are too many small ones."""
    first = len(layers)
    while first and layers[first - 1].count < SMALL:
        first -= 1
    if len(layers) - first <= MOST_SMALL:
        return list(layers)
    return [*layers[:first], *merge_layers(folder, layers[first:], keep_removals=first > 0)]


def merge_layers(
    folder: Path, layers: Sequence[LayerRef], keep_removals: bool = False
) -> list[LayerRef]:
    """Write layers as one.

    Args:
        folder: The memory's folder.
        layers: Oldest first.
        keep_removals: Whether older layers stay, so that removals have to be kept.
    """
    live = Categories(folder, layers)
    changed = list(zip((int(i) for i in live.ids), live, strict=True))
    gone = [(number, None) for number in live.removed_ids.tolist()] if keep_removals else []
    merged = write_layer(folder, sorted([*changed, *gone], key=lambda pair: pair[0]))
    return [merged] if merged else []
