"""The live entries of a memory, a part at a time, and the libraries that tables need."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import ConfigurationError
from rar_agent.memory.format.segment import Part
from rar_agent.memory.memory import Memory

PART = 4_096
"""Entries of a part, at most."""


def live_parts(memory: Memory, size: int = PART) -> Iterator[tuple[Part, NDArray[np.int64]]]:
    """Entries in the order of their rows, without removed ones.

    Args:
        memory: Whose.
        size: Entries of a part, at most.

    Yields:
        A part, and (n,) the positions of its entries' categories.
    """
    entries = memory.entries
    for segment, start in zip(entries.segments, entries.offsets[:-1].tolist(), strict=True):
        columns = entries.columns[start : start + segment.ref.count]
        live = np.flatnonzero(columns >= 0)
        for begin in range(0, len(live), size):
            rows = live[begin : begin + size]
            yield segment.take(rows), columns[rows].astype(np.int64)


def library(module: str) -> Any:  # noqa: ANN401 - a module
    """A module of the extra `data`.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise ConfigurationError(
            f"{name} is not installed.", "Run: pip install 'rar-agent[data]'"
        ) from error
