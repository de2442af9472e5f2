"""The event loop on which all models are asked, in a thread of its own.

Whoever asks, from a thread or from a loop of its own, waits for a task on this one. So there is one
way to ask, connections are kept from one call to the next, and a call ends when whoever waits for
it is interrupted or cancelled.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_THREADS = 32
"""Of the loop, for what would block it."""


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, "rar-agent-work"))
    threading.Thread(target=loop.run_forever, name="rar-agent-loop", daemon=True).start()
    return loop


_start = threading.Lock()


def _forget() -> None:
    """A forked process has the loop, but not its thread."""
    global _start
    _start = threading.Lock()
    _loop.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def promise() -> Future[Any]:
    """A future that those who wait for it cannot cancel for each other."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


class Call(Generic[T]):
    """A coroutine that runs on the loop from now on.

    Attributes:
        done: Its result, when nothing of it runs any more.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.done: Future[T] = promise()
        with _start:
            self._loop = _loop()
        self._loop.call_soon_threadsafe(self._begin, coroutine)

    def _begin(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._task = asyncio.ensure_future(coroutine)
        self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Future[T]) -> None:
        if task.cancelled():
            self.done.set_exception(asyncio.CancelledError())
        elif error := task.exception():
            self.done.set_exception(error)
        else:
            self.done.set_result(task.result())

    def cancel(self) -> None:
        """Cancel it; `done` says when it has ended."""
        self._loop.call_soon_threadsafe(lambda: self._task.cancel())


def end(calls: Iterable[Call[Any]]) -> None:
    """Cancel calls, and wait until nothing of them runs any more.

    On the loop's own thread, where what was left half-read may be collected, nothing is waited for.
    """
    calls = list(calls)
    for call in calls:
        call.cancel()
    for call in calls:
        if asyncio._get_running_loop() is not call._loop:
            call.done.exception()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop, and wait for it in this thread.

    An interrupt (Ctrl-C) cancels it, and is raised when it has ended. Not for use on the loop.
    """
    call = Call(coroutine)
    try:
        return call.done.result()
    finally:
        if not call.done.done():
            call.cancel()
            call.done.exception()


async def arun(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop, and wait for it on any loop.

    Whoever waits may be cancelled: then the coroutine is, and has ended when that is raised.
    """
    if asyncio.get_running_loop() is _loop():
        return await coroutine
    call = Call(coroutine)
    done = asyncio.wrap_future(call.done)
    try:
        return await asyncio.shield(done)
    finally:
        if not done.done():
            call.cancel()
            await asyncio.wait([done])


class Room:
    """Room for a number of things at once; a forked process has its own.

    Args:
        size: How many.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._semaphores: WeakKeyDictionary[Any, asyncio.Semaphore] = WeakKeyDictionary()

    def place(self) -> AbstractAsyncContextManager[None]:
        """Wait for a place, and hold it."""
        loop = asyncio.get_running_loop()
        return self._semaphores.setdefault(loop, asyncio.Semaphore(self._size))
