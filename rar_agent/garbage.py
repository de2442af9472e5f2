"""When Python looks for garbage: not while much is imported, which all stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
