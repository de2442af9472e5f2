"""When Python looks for garbage, and how much free memory a process keeps."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
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
    if "triton" not in sys.modules:  # whose bindings count what is left, and print a page of it
        gc.freeze()
    gc.disable()


_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
_MOST_KEPT = 1 << 30  # bytes that are free at the end of the heap
_TUNABLES = "GLIBC_TUNABLES"
_keeps = False


def keep_freed() -> None:
    """Have malloc keep what is freed, for a process that encodes many images, and ends.

    glibc gives blocks of over 32 MB back to the system at once, and has each page of the next one
    cleared by a fault. What a network's layers hand on for eight images is more: that was a third
    of a forward pass. For the same reason there is one arena: others have 64 MB at most. Does
    nothing where malloc is another's or the environment says anything of how it works.
    """
    global _keeps
    said = "glibc.malloc." in os.environ.get(_TUNABLES, "")
    if not said and not any(name.startswith("MALLOC_") for name in os.environ):
        _keeps = _set({_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _MOST_KEPT})


def keeps_freed() -> bool:
    """Whether malloc keeps what is freed, by `keep_freed`."""
    return _keeps


def share_arenas(most: int = 2) -> None:
    """Let threads share a few of malloc's arenas, for a process that runs for long.

    glibc makes eight for each core, and each keeps what was once used in it: a server's memory
    grows for an hour until all have had their largest image. Does nothing where malloc is
    another's or the environment says how many there are.

    Args:
        most: Arenas, of those that are not made yet.
    """
    said = "glibc.malloc.arena_max" in os.environ.get(_TUNABLES, "")
    if not said and "MALLOC_ARENA_MAX" not in os.environ:
        _set({_M_ARENA_MAX: most})


def _set(options: Mapping[int, int]) -> bool:
    """Whether malloc took all of them."""
    if sys.platform != "linux":
        return False
    with suppress(AttributeError, OSError):
        malloc = ctypes.CDLL(None)
        taken = [malloc.mallopt(option, value) for option, value in options.items()]
        return all(taken)
    return False
