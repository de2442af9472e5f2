"""What a forked process begins anew: locks, and what is made once a process.

A fork has its parent's locks, and what was waited for there, but none of the threads that would
ever end that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, Generic, TypeVar
from weakref import WeakSet

T = TypeVar("T")


class OfProcess:
    """What a forked process begins anew."""

    def __init__(self) -> None:
        self._begin()
        _of_process.add(self)

    def _begin(self) -> None:
        """Set up locks, and what waits or runs; called again in a forked process."""


_of_process: WeakSet[OfProcess] = WeakSet()


def _forked() -> None:
    for one in list(_of_process):
        one._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Lock(OfProcess):
    """A lock that nobody holds in a forked process; its holder may take it again."""

    def _begin(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # taken before the fork, by who forked
            self._lock.release()


class Once(Generic[T]):
    """A function whose results are kept, each made once whoever asks at the same time.

    Args:
        make: The function; its arguments are hashable.
    """

    def __init__(self, make: Callable[..., T]) -> None:
        self._kept = cache(make)
        self.cache_clear = self._kept.cache_clear
        self._lock = Lock()

    def __call__(self, *given: Any) -> T:  # noqa: ANN401
        """The result for these arguments."""
        with self._lock:
            return self._kept(*given)
