"""Places for a number of callers at once, in threads and coroutines, first come, first served."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar

from rar_agent.forks import OfProcess
from rar_agent.loop import Threads, promise

_own: ContextVar[Future[None] | None] = ContextVar("place", default=None)
"""The place that the caller holds, in whichever of them."""

within = Threads(8, "rar-agent-place")
"""For coroutines that hold a place: asyncio's own threads may all be waiting for one."""


class Places(OfProcess):
    """So many may be inside; others wait. A forked process has its own. Thread-safe.

    What is called inside and asks for a place again is given the caller's own, and gives it back
    for both: so a place may be taken early, and is free again as soon as it can be.

    Args:
        size: How many, at least 1.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        super().__init__()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._held: set[Future[None]] = set()
        self._waiting: OrderedDict[Future[None], None] = OrderedDict()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Wait in this thread for a place, and hold it."""
        place = self._ask()
        before = _own.set(place)
        try:
            place.result()
            yield
        finally:
            self._leave(place)
            with suppress(ValueError):  # ended where a loop was closed: in another context
                _own.reset(before)

    @asynccontextmanager
    async def aplace(self) -> AsyncIterator[None]:
        """Likewise in a coroutine, which holds no thread; one that is cancelled is out at once."""
        place = self._ask()
        before = _own.set(place)
        try:
            if not place.done():
                await asyncio.wrap_future(place)
            yield
        finally:
            self._leave(place)
            with suppress(ValueError):  # ended where a loop was closed: in another context
                _own.reset(before)

    def give_back(self) -> None:
        """Leave the caller's own place, if there is one, without waiting for any."""
        if own := _own.get():
            self._leave(own)

    def _ask(self) -> Future[None]:
        """A place; its holder may go in when it is done."""
        own, place = _own.get(), promise()
        with self._lock:
            if own in self._held:
                return own
            if len(self._held) < self._size:
                self._let_in(place)
            else:
                self._waiting[place] = None
        return place

    def _leave(self, place: Future[None]) -> None:
        """Out of the place, or of the line for it; again is nothing."""
        with self._lock:
            self._waiting.pop(place, None)
            if place in self._held:
                self._held.remove(place)
                if self._waiting:
                    self._let_in(self._waiting.popitem(last=False)[0])

    def _let_in(self, place: Future[None]) -> None:
        self._held.add(place)
        place.set_result(None)
