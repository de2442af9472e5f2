"""Ranking models that were calibrated beside a memory: found, kept, and when they are stale."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.format.manifest import RankerRecord
from rar_agent.memory.memory import STALE, Memory
from rar_agent.memory.teaching.draft import Draft
from rar_agent.memory.teaching.teach import changing


def find_ranker(
    memory: Memory, model: str, ranker: str, prompt_hash: str, orders: int
) -> RankerRecord | None:
    """What is known of a way of asking a model beside a memory; None where it is not calibrated."""
    records = memory.manifest.rankers
    return next((r for r in records if r.is_of(model, ranker, prompt_hash, orders)), None)


def is_current(memory: Memory, record: RankerRecord) -> bool:
    """Whether at most a tenth of the exemplars were learnt or removed since."""
    images = [s.entries["id"] for s in memory.entries.segments if s.ref.modality == "image"]
    later = np.concatenate(
        [np.empty(0, np.int64), *(ids[ids >= record.next_entry] for ids in images)]
    )
    new = int((~np.isin(later, memory.entries.removed)).sum())
    gone = record.entries + new - memory.image_count
    return (new + gone) / max(1, record.entries) <= STALE


def keep_ranker(home: Path, name: str, record: RankerRecord) -> Memory:
    """Write what was found of a model, in place of what was known of the same way of asking it.

    What was known by earlier texts of its prompt, or is stale, goes too.

    Raises:
        NotFoundError: There is no such memory.
        InputError: It is a ready memory.
        BusyError: Somebody else is writing to it.
    """
    with changing(memory_folder(home, name)) as memory:
        draft = Draft.after(memory)
        key = (record.model, record.ranker, record.prompt, record.orders)
        others = [
            other
            for other in memory.manifest.rankers
            if key != (other.model, other.ranker, other.prompt, other.orders)
            and is_current(memory, other)
        ]
        draft.rankers = (*others, record)
        return draft.commit("ready", "never")
