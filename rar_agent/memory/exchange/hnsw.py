"""The vectors of a foreign `IndexHNSWFlat` file, read without FAISS.

FAISS's parser is C++ and not made for hostile input, and of its graph nothing is kept. The file is
a header, the graph as five arrays and five numbers, and another header with the vectors; an array
is its length, 8 bytes, and its items (FAISS 1.7 to 1.15, `impl/index_write.cpp`).
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rar_agent.encoders import FloatArray
from rar_agent.errors import DamagedDataError, InputError
from rar_agent.images.policy import printable
from rar_agent.memory.format.manifest import MOST_DIMENSIONS
from rar_agent.memory.format.opened import open_regular, reason

_KIND = b"IHNf"
_STORAGES = (b"IxFI", b"IxFl")  # vectors as they are; of inner products, or of any metric
_HEADER = struct.Struct("<iqqq?i")  # dimension, vectors, two that are not used, trained, metric
_INNER_PRODUCT = 0
_GRAPH = (8, 4, 4, 8, 4)  # bytes of an item of each of its arrays
_GRAPH_NUMBERS = 20  # bytes of the numbers after them
_FIX = "Give the .index file that the reference code wrote: an IndexHNSWFlat of inner products."


def read_vectors(path: Path, dimension: int | None) -> FloatArray:
    """All vectors of an index file.

    Args:
        path: The file.
        dimension: What the vectors' length has to be; None for any.

    Returns:
        (n, d) float32, as they are stored: perhaps not finite, not of length 1.

    Raises:
        InputError: There is no such file, or it is of another kind, metric or dimension, or empty.
        DamagedDataError: It is cut or longer, or its parts do not fit together.
    """
    name = printable(str(path))
    if not path.is_file():
        raise InputError(f"'{name}' is no file.", _FIX)
    try:
        with open_regular(path.resolve()) as file:
            return _read(_Part(file), dimension, name)
    except (OSError, ValueError) as error:
        why = f"The index file '{name}' cannot be read: {reason(error)}."
        raise DamagedDataError(why, _FIX) from error


class _Part:
    """What is left of a file: nothing longer than that is read or skipped."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.left = os.fstat(file.fileno()).st_size

    def take(self, size: int) -> bytes:
        self._count(size)
        return self._file.read(size)

    def skip(self, size: int) -> None:
        self._count(size)
        self._file.seek(size, os.SEEK_CUR)

    def length(self) -> int:
        found: int = struct.unpack("<Q", self.take(8))[0]
        return found

    def _count(self, size: int) -> None:
        if size > self.left:
            raise ValueError(f"{size} bytes should follow, and {self.left} do")
        self.left -= size


def _read(part: _Part, dimension: int | None, name: str) -> FloatArray:
    kind = part.take(4)
    if not kind.isalnum() or not kind.startswith(b"I"):
        raise ValueError("it does not begin as an index of FAISS does")
    if kind != _KIND:
        raise _other(name, f"type {kind.decode()}, not {_KIND.decode()} (IndexHNSWFlat)")
    width, count, metric = _header(part)
    if metric != _INNER_PRODUCT:
        raise _other(name, f"metric {metric}, not {_INNER_PRODUCT}")
    if dimension is not None and width != dimension:
        raise _other(name, f"d {width}, not {dimension}")
    if not count:
        raise InputError(f"'{name}' has no vectors.", _FIX)
    for size in _GRAPH:
        part.skip(size * part.length())
    part.skip(_GRAPH_NUMBERS)
    kind = part.take(4)
    if kind not in _STORAGES:
        raise ValueError(f"it keeps its vectors as {kind!r}")
    shape = _header(part)[1::-1]
    if shape != (count, width) or part.length() != math.prod(shape):
        raise ValueError(f"it says that it has {count} vectors of {width} numbers, and has others")
    if part.left != 4 * count * width:
        raise ValueError(f"{4 * count * width} bytes should follow, and {part.left} do")
    return np.frombuffer(part.take(part.left), "<f4").reshape(count, width).astype(np.float32)


def _header(part: _Part) -> tuple[int, int, int]:
    """Dimension, number of vectors and metric."""
    width, count, _, _, _, metric = _HEADER.unpack(part.take(_HEADER.size))
    if not 0 < width <= MOST_DIMENSIONS or count < 0:
        raise ValueError(f"it says that it has {count} vectors of {width} numbers")
    return width, count, metric


def _other(name: str, what: str) -> InputError:
    return InputError(f"'{name}' has {what}.", _FIX)
