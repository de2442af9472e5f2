"""Which images a memory knows already, by content: about 20 bytes each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rar_agent.memory.memory import Memory

_MIX = 0x9E3779B97F4A7C15  # odd, so that multiplying by it is a permutation of 64 bits
_BITS = (1 << 64) - 1
_FEWEST = 4_096  # new ones that are sorted in
_SHARE = 1 / 32  # of all that are known, likewise: a set takes ten times an array's bytes


class KnownImages:
    """Images by the first 8 bytes of their sha256, alone and together with their category.

    Args:
        memory: Whose live exemplars are known from the start; None for none.
    """

    def __init__(self, memory: Memory | None) -> None:
        contents, pairs = np.empty(0, np.uint64), np.empty(0, np.uint64)
        if memory is not None and "image" in memory.entries.modalities:
            contents, pairs = _live(memory)
            pairs *= np.uint64(_MIX)
            pairs ^= contents
        contents.sort()
        pairs.sort()
        self._contents, self._pairs = contents, pairs
        self._new_contents: set[int] = set()
        self._new_pairs: set[int] = set()

    def has(self, category: int, sha256: str) -> bool:
        """Whether an image of these bytes was learnt for a category."""
        pair = _pair(category, sha256)
        return pair in self._new_pairs or _within(self._pairs, pair)

    def has_anywhere(self, sha256: str) -> bool:
        """Whether an image of these bytes was learnt for any category."""
        content = _content(sha256)
        return content in self._new_contents or _within(self._contents, content)

    def add(self, category: int, sha256: str) -> None:
        """Remember an image."""
        self._new_contents.add(_content(sha256))
        self._new_pairs.add(_pair(category, sha256))
        if len(self._new_pairs) > max(_FEWEST, _SHARE * len(self._pairs)):
            self._contents = _sorted_in(self._contents, self._new_contents)
            self._pairs = _sorted_in(self._pairs, self._new_pairs)


def _live(memory: Memory) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Contents and categories of the live exemplars."""
    contents, categories = [], []
    for segment, start in zip(memory.entries.segments, memory.entries.offsets, strict=False):
        if segment.ref.modality == "image":
            live = memory.entries.columns[start : start + segment.ref.count] >= 0
            raw = np.ascontiguousarray(segment.entries["content"][live])
            contents.append(raw.view("<u8").reshape(-1, 4)[:, 0].astype(np.uint64))
            categories.append(segment.entries["category"][live].astype(np.uint64))
    return np.concatenate(contents), np.concatenate(categories)


def _content(sha256: str) -> int:
    return int.from_bytes(bytes.fromhex(sha256[:16]), "little")


def _pair(category: int, sha256: str) -> int:
    return _content(sha256) ^ (category * _MIX & _BITS)


def _sorted_in(known: NDArray[np.uint64], new: set[int]) -> NDArray[np.uint64]:
    """Sorted values with new ones among them, of which the set is then empty."""
    more = np.fromiter(new, np.uint64, len(new))
    new.clear()
    known = np.concatenate([known, more])
    known.sort(kind="stable")  # finds the long run, and merges
    return known


def _within(sorted_values: NDArray[np.uint64], value: int) -> bool:
    place = int(np.searchsorted(sorted_values, np.uint64(value)))
    return place < len(sorted_values) and int(sorted_values[place]) == value
