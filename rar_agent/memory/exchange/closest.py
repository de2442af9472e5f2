"""The categories closest to a vector, each by its best entry: plain cosines, no scoring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.errors import InputError, NotFoundError
from rar_agent.memory.memory import Memory
from rar_agent.memory.taxonomy import Filter
from rar_agent.types import Category, Modality

Wanted = Filter | Mapping[str, Any] | Callable[[Category], bool]
"""Which categories may be found: a `Filter`, or its `where` alone."""

_FIRST = 10  # entries looked at for each category wanted, to begin with


@dataclass(frozen=True)
class Close:
    """A category that was found.

    Attributes:
        column: Its position.
        row: Row of its best entry.
        cosine: Of that entry and the query, -1 to 1.
    """

    column: int
    row: int
    cosine: float


def closest_categories(
    memory: Memory,
    query: FloatArray,
    k: int,
    wanted: Wanted | None = None,
    modality: Modality | None = None,
) -> list[Close]:
    """The categories with the entries closest to a vector, closest first; ties by position.

    An image's vector is closer to any image than to texts, so of a memory with both, an image
    finds the categories with exemplars first.

    Args:
        memory: Where to look.
        query: (d,) unit vector.
        k: Categories wanted; fewer come back where fewer pass.
        wanted: Which may be found; None for all.
        modality: Entries to compare with; None for all.

    Raises:
        NotFoundError: The filter names an unknown branch.
    """
    allowed = _allowed(memory, wanted)
    if k < 1 or not len(allowed):
        return []
    modalities = memory.entries.modalities if modality is None else (modality,)
    parts = [_of_one(memory, query, k, allowed, one) for one in modalities]
    cosines = np.concatenate([np.empty(0, np.float32), *(part[0] for part in parts)])
    rows = np.concatenate([np.empty(0, np.int64), *(part[1] for part in parts)])
    columns = memory.entries.columns[rows]
    found: dict[int, Close] = {}
    for i in np.lexsort((columns, -cosines)):
        column = int(columns[i])
        cosine = float(np.clip(cosines[i], -1, 1))
        found.setdefault(column, Close(column, int(rows[i]), cosine))
        if len(found) == k:
            break
    return list(found.values())


def _allowed(memory: Memory, wanted: Wanted | None) -> NDArray[np.int64]:
    if wanted is None:
        return np.arange(len(memory.categories))
    try:
        return memory.taxonomy.allowed(
            wanted if isinstance(wanted, Filter) else Filter(where=wanted)
        )
    except NotFoundError:
        raise
    except InputError:  # nothing passes, which of a store of documents is an answer
        return np.empty(0, np.int64)


def _of_one(
    memory: Memory, query: FloatArray, k: int, allowed: NDArray[np.int64], modality: Modality
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Cosines and rows of a modality that the k closest categories are among."""
    reachable = min(k, int((memory.entries.counts(modality)[allowed] > 0).sum()))
    mask = None
    if len(allowed) < len(memory.categories):
        mask = np.zeros(len(memory.categories), bool)
        mask[allowed] = True
    count = _FIRST * k
    while True:
        cosines, rows = memory.nearest.rows(modality, query[None], count, mask)
        known = rows[0] >= 0
        distinct = len(np.unique(memory.entries.columns[rows[0][known]]))
        if distinct >= reachable or count >= len(memory.entries):
            return cosines[0][known], rows[0][known]
        count *= 4
