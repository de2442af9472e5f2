"""When Python looks for garbage, and how much free memory a process keeps."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator, Mapping
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


_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
_MOST_KEPT = 1 << 30  # bytes that are free at the end of the heap


def keep_freed() -> None:
    """Have malloc keep what is freed, for a process that encodes many images, and ends.

    glibc gives blocks of over 32 MB back to the system at once, and has each page of the next one
    cleared by a fault. What a network's layers hand on for eight images is more: that was a third
    of a forward pass. For the same reason there is one arena: others have 64 MB at most. Does
    nothing where malloc is another's or the environment says how it works.
    """
    _set({_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _MOST_KEPT})


def share_arenas(most: int = 2) -> None:
    """Let threads share a few of malloc's arenas, for a process that runs for long.

    glibc makes eight for each core, and each keeps what was once used in it: a server's memory
    grows for an hour until all have had their largest image. Does nothing where malloc is
    another's or the environment says how it works.

    Args:
        most: Arenas, of those that are not made yet.
    """
    _set({_M_ARENA_MAX: most})


def _set(options: Mapping[int, int]) -> None:
    said = os.environ.get("GLIBC_TUNABLES", "")
    if "glibc.malloc." in said or any(name.startswith("MALLOC_") for name in os.environ):
        return
    with suppress(AttributeError, OSError):
        malloc = ctypes.CDLL(None)
        for option, value in options.items():
            malloc.mallopt(option, value)
