"""The event loop on which all models are asked, in a thread of its own.

Whoever asks, from a thread or from a loop of its own, waits for a task on this one. So there is one
way to ask, connections are kept from one call to the next, and a call ends when whoever waits for
it is interrupted or cancelled.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property, partial
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from rar_agent.forks import OfProcess

T = TypeVar("T")

_THREADS = 32
"""Of the loop, for short work that would hold it up, and for synchronous callback handlers."""

_DEEPEST = 16
"""Calls within calls: callbacks that ask a model, whose callbacks ask a model, and so on."""


_depth: contextvars.ContextVar[int] = contextvars.ContextVar("depth", default=0)
"""In how many calls a call is made, each of which holds a thread or a place, and waits for it."""

_worker = threading.local()


def _begin_worker(depth: int) -> None:
    _worker.depth = depth


def _depth_here() -> int:
    """Depth of what this thread asks for."""
    return max(_depth.get(), getattr(_worker, "depth", -1) + 1)


class _Workers(ThreadPoolExecutor):
    """Threads; what work in them waits for is done by others, so that none waits for itself."""

    def __init__(self, size: int, name: str, depth: int = 0) -> None:
        super().__init__(size, name, _begin_worker, (depth,))
        self._given = size, name
        self._depth = depth

    def submit(
        self,
        work: Callable[..., T],
        /,
        *given: Any,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> Future[T]:
        """Do it in a thread of the depth that it is asked at."""
        if _depth.get() > self._depth:
            return self._deeper.submit(work, *given, **named)
        return super().submit(work, *given, **named)

    @cached_property
    def _deeper(self) -> _Workers:
        return _Workers(*self._given, self._depth + 1)


class _Loop(OfProcess):
    """The process's loop, which begins when it is first wanted."""

    def __init__(self) -> None:
        self._started: asyncio.AbstractEventLoop | None = None
        self._inherited: list[object] = []
        super().__init__()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        if self._started:  # freed, its tasks would clean up, and end what is their parent's
            self._inherited += [self._started, asyncio.all_tasks(self._started)]
            self._started = None

    def __call__(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._started is None:
                loop = self._started = asyncio.new_event_loop()
                loop.set_default_executor(_Workers(_THREADS, "rar-agent-work"))
                threading.Thread(
                    target=loop.run_forever, name="rar-agent-loop", daemon=True
                ).start()
            return self._started


_loop = _Loop()


def promise() -> Future[Any]:
    """A future that those who wait for it cannot cancel for each other."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


class Call(Generic[T]):
    """A coroutine that runs on the loop from now on.

    Attributes:
        done: Its result, when nothing of it runs any more.

    Raises:
        RuntimeError: Calls ask within calls without end.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        depth = _depth_here()
        if depth > _DEEPEST:
            coroutine.close()
            raise RuntimeError(
                f"A model was asked by a callback of a call that a callback made, {depth} deep. "
                "A callback that asks a model must not be a callback of that model."
            )
        context = contextvars.copy_context()
        context.run(_depth.set, depth)
        self.done: Future[T] = promise()
        self._loop = _loop()
        self._loop.call_soon_threadsafe(self._begin, coroutine, context=context)

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

    An interrupt (Ctrl-C) cancels it, and is raised when it has ended.

    Raises:
        RuntimeError: This is the loop's own thread, which would wait for itself.
    """
    if asyncio._get_running_loop() is _loop():
        coroutine.close()
        raise RuntimeError(
            "A model was asked and waited for on the event loop that asks models, for instance by "
            "a callback. Await aask or arecognize there, or ask in another thread."
        )
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
    done.add_done_callback(lambda ended: ended.exception())  # else one that nobody saw is logged
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
        self._places: WeakKeyDictionary[Any, dict[int, asyncio.Semaphore]] = WeakKeyDictionary()

    def place(self) -> AbstractAsyncContextManager[None]:
        """Wait for a place, and hold it."""
        return self._at(0)

    @asynccontextmanager
    async def nested(self) -> AsyncIterator[None]:
        """Likewise; what is asked in it has as much room again, and does not wait for its place."""
        depth = _depth.get()
        async with self._at(depth):
            before = _depth.set(depth + 1)
            try:
                yield
            finally:
                _depth.reset(before)

    def _at(self, depth: int) -> asyncio.Semaphore:
        places = self._places.setdefault(asyncio.get_running_loop(), {})
        return places.setdefault(depth, asyncio.Semaphore(self._size))


class Threads(OfProcess):
    """Threads for one kind of work that blocks, so that no other kind waits for them.

    Args:
        size: How many.
        name: Of the threads.
    """

    def __init__(self, size: int, name: str) -> None:
        self._given = size, name
        super().__init__()

    def _begin(self) -> None:
        self._pool = _Workers(*self._given)  # starts them when they are wanted

    async def run(self, work: Callable[..., T], *given: Any) -> T:  # noqa: ANN401
        """Do it in one of the threads; who is cancelled leaves it to end there."""
        inside = partial(contextvars.copy_context().run, work, *given)
        return await asyncio.get_running_loop().run_in_executor(self._pool, inside)
