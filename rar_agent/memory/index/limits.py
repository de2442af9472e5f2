"""FAISS's parser, within limits from the file's size.

The parser is C++ and not made for hostile input: the limits keep a damaged file from taking more
memory than the file is long, no more.
"""

from __future__ import annotations

from pathlib import Path

from rar_agent.errors import DamagedDataError
from rar_agent.forks import Lock
from rar_agent.images.policy import printable
from rar_agent.memory.index.untyped import FaissObject, faiss

LOOPS = 64
"""Most rounds of a loop over parts that kinds without lists have."""

_parsing = Lock()  # FAISS's limits are of the whole process


def read_index(path: Path, flags: int, fix: str, loops: int = LOOPS) -> FaissObject:
    """Let FAISS parse a file.

    Args:
        path: The file.
        flags: FAISS's `IO_FLAG_…`.
        fix: What to do where it cannot be parsed.
        loops: Most rounds of any loop over its parts.

    Raises:
        DamagedDataError: It is missing, or cannot be parsed within its own size.
    """
    with _parsing:
        before = (
            faiss.get_deserialization_vector_byte_limit(),
            faiss.get_deserialization_loop_limit(),
        )
        try:
            # No part of a file is longer than the file.
            faiss.set_deserialization_vector_byte_limit(path.stat().st_size + 1)
            faiss.set_deserialization_loop_limit(loops)
            return faiss.read_index(str(path), flags)
        except (RuntimeError, OSError, MemoryError) as error:
            reason = str(error).replace("\n", " ")[:300]
            raise DamagedDataError(
                f"The index file '{printable(str(path))}' cannot be parsed: {reason}.", fix
            ) from error
        finally:
            faiss.set_deserialization_vector_byte_limit(before[0])
            faiss.set_deserialization_loop_limit(before[1])
