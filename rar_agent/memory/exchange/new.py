"""A memory that is made elsewhere than by teaching: all of it, or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rar_agent.errors import InputError
from rar_agent.memory.format.generation import exists
from rar_agent.memory.format.location import CURRENT, memory_folder
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.format.origin import called


@contextmanager
def creating(home: Path, name: str) -> Iterator[Path]:
    """Hold the lock of a memory that is not there yet; whatever fails leaves nothing behind.

    Raises:
        InputError: It exists already, or the name cannot name a memory.
        BusyError: Somebody else is writing it.
    """
    folder = memory_folder(home, name)
    with writer_lock(folder):
        if exists(folder):
            raise InputError(
                f"Memory '{called(folder)}' exists already.",
                "Choose another name, or delete it first: rar-agent memory delete "
                f"{called(folder)}",
            )
        try:
            yield folder
        except BaseException:
            (folder / CURRENT).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            raise
