"""Compaction: merge segments and layers, reclaim what was removed, build indexes, migrate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rar_agent.memory.format.generation import read_fields
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.format.manifest import ENTRY
from rar_agent.memory.format.origin import origin_of
from rar_agent.memory.format.version1 import draft_fields
from rar_agent.memory.index.build import Progress
from rar_agent.memory.memory import Memory
from rar_agent.memory.scoring.record import with_current_sums
from rar_agent.memory.teaching.draft import Draft, Fitting
from rar_agent.memory.teaching.indexing import RECALL, with_indexes
from rar_agent.memory.teaching.merge import merge_all, merge_layers
from rar_agent.memory.teaching.teach import changing


@dataclass(frozen=True)
class Compacted:
    """What compaction did.

    Attributes:
        memory: The memory as it is now.
        segments: Number of segments before and after.
        reclaimed: Removed entries that left the disk.
        migrated: Whether the memory had format version 1.
    """

    memory: Memory
    segments: tuple[int, int]
    reclaimed: int
    migrated: bool = False


def compact_memory(
    home: Path,
    name: str,
    fitting: Fitting = "auto",
    recall: float = RECALL,
    ram_bytes: int | None = None,
    progress: Progress | None = None,
) -> Compacted:
    """Merge a memory's segments, one for each modality, without the removed entries.

    Large segments get an index, as `plan_index` chooses. A memory of format version 1 is brought
    to version 2; nothing is encoded again.

    Args:
        home: Where memories live.
        name: The memory.
        fitting: Whether the scoring is chosen anew.
        recall: Share of the 10 nearest entries that an index has to find; 1: no index.
        ram_bytes: That indexes may use; default: half of the machine's.
        progress: Told of rows added to an index, and rows in all.

    Raises:
        NotFoundError: There is no such memory.
        InputError: It is ready-made (but for migration), or its build was interrupted.
        BusyError: Somebody else is writing to it.
        DamagedDataError: It is damaged.
    """
    folder = memory_folder(home, name)
    old = read_fields(folder)
    if old.get("format_version") == 1:
        with writer_lock(folder):
            draft = Draft(folder, **draft_fields(folder))
            reclaimed = sum(ref["entries"]["size"] // ENTRY.itemsize for ref in old["segments"])
            memory = draft.commit("ready", "always")
            segments = len(old["segments"]), len(draft.segments)
            return Compacted(memory, segments, reclaimed - len(memory.entries), True)
    with changing(folder) as memory:
        draft = Draft.after(memory)
        draft.fit = with_current_sums(memory)
        before, reclaimed, gone = len(draft.segments), len(draft.removed), draft.removed
        draft.segments = merge_all(folder, memory.entries.segments, draft.removed)
        draft.removed = np.empty(0, np.int64)
        draft.segments = with_indexes(
            folder, draft.segments, draft.dimension, recall, ram_bytes, progress
        )
        if len(draft.layers) > 1:
            draft.layers = merge_layers(folder, draft.layers)
        done = draft.commit("ready", fitting)
        if origin := origin_of(folder):
            origin.tidy(gone, len(done.entries), draft.dimension)
        return Compacted(done, (before, len(done.manifest.segments)), reclaimed)
