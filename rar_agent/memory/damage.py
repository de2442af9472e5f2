"""Numbers that make no sense: which file they come from.

Vectors are mapped, not read, when a memory is opened, so what they hold shows when it is asked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import DamagedDataError
from rar_agent.memory.entries import Entries
from rar_agent.memory.format.segment import OpenSegment

OFF_LENGTH = 1e-2
"""How much a stored vector's length may be off 1."""
_CHUNK = 16_384  # rows read at a time


def wrong_numbers(entries: Entries, where: str) -> DamagedDataError:
    """The error of scores that are no numbers: it names the file that they come from.

    Args:
        entries: The memory's; all their vectors are read.
        where: What else the scores are made of, for where the entries are fine.
    """
    for segment in entries.segments:
        fields = segment.entries
        fine = np.isfinite(fields["length"]) & np.isfinite(fields["bias"])
        fine &= fields["length"] >= 0
        if not fine.all():
            row = int(np.flatnonzero(~fine)[0])
            return segment.damaged("entries", f"length or bias {row} is no number that one can be")
        if (row := _wrong_row(segment)) >= 0:
            length = float(np.linalg.norm(segment.vectors[row]))
            return segment.damaged("vectors", f"vector {row} has the length {length:g}, not 1")
    return DamagedDataError(
        f"The scores of the memory are no numbers, and its entries are: {where} cannot be right.",
        "Choose the scoring anew, with rar-agent memory fit and its name, or restore a copy.",
    )


def _wrong_row(segment: OpenSegment) -> int:
    """The first row that is no unit vector; -1 where all are."""
    for start in range(0, len(segment.vectors), _CHUNK):
        wrong = np.flatnonzero(~unit_rows(segment.vectors[start : start + _CHUNK]))
        if len(wrong):
            return start + int(wrong[0])
    return -1


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(n,) whether each row has the length 1, or as nearly as float32 and an export keep it."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors, axis=1)
        fine: NDArray[np.bool_] = np.abs(lengths - 1) <= OFF_LENGTH
    return fine
