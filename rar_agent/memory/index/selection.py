"""Which rows of a file a search may return."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rar_agent.errors import InputError
from rar_agent.memory.index.untyped import FaissObject, faiss


class Selection:
    """A set of rows; made once for a file and a generation, then used by every search.

    Args:
        total: Rows in the file.
        removed: Numbers of rows that may not be returned.
        allowed: Numbers of rows that may be returned; None for all. What is removed is not
            returned even if it is allowed.

    Attributes:
        total: Rows in the file.
        count: Rows that may be returned.

    Raises:
        InputError: A number is not one of a row.
    """

    def __init__(
        self, total: int, removed: ArrayLike | None = None, allowed: ArrayLike | None = None
    ) -> None:
        self.total = total
        mask = np.full(total, allowed is None)
        if allowed is not None:
            mask[_checked(allowed, total)] = True
        if removed is not None:
            mask[_checked(removed, total)] = False
        self.count = int(mask.sum())
        self._bits: NDArray[np.uint8] = np.packbits(mask, bitorder="little")

    @property
    def fraction(self) -> float:
        """Share of the rows that may be returned, 0 to 1."""
        return self.count / max(1, self.total)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(total,) True where a row may be returned."""
        return np.unpackbits(self._bits, count=self.total, bitorder="little").view(np.bool_)

    @property
    def rows(self) -> NDArray[np.int64]:
        """(count,) numbers of the rows that may be returned, rising."""
        return np.flatnonzero(self.mask)

    @cached_property
    def selector(self) -> FaissObject:
        """The same set for FAISS, a bit per row; searches only read it."""
        return faiss.IDSelectorBitmap(self._bits)


def _checked(rows: ArrayLike, total: int) -> NDArray[np.int64]:
    numbers = np.asarray(rows)
    if numbers.size == 0:
        return np.empty(0, np.int64)
    if numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= total:
        raise InputError(
            f"Rows {numbers.min()} to {numbers.max()} ({numbers.dtype}) of a file of {total} rows.",
            f"Give whole numbers from 0 to {total - 1}.",
        )
    return numbers.astype(np.int64).reshape(-1)
