"""When Python looks for garbage, and how much free memory a server keeps."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile, in no thread; for imports of large libraries.

    Objects that stay are looked through again and again as they become more: a fifth of the
    processor time that importing torch and LangGraph takes.
    """
    wanted = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if wanted:
            gc.enable()


def leave_to_the_system() -> None:
    """Look for no garbage any more, for a process that ends: its memory is the system's to free."""
    gc.freeze()
    gc.disable()


_M_ARENA_MAX = -8  # of glibc's malloc.h


def share_arenas(most: int = 2) -> None:
    """Let threads share a few of malloc's arenas, for a process that runs for long.

    glibc makes eight for each core, and each keeps what was once used in it: a server's memory
    grows for an hour until all have had their largest image. Does nothing where malloc is
    another's, or where `MALLOC_ARENA_MAX` says how many.

    Args:
        most: Arenas, of those that are not made yet.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, most)
