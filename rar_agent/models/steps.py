"""Steps that wait, written once and run in a thread or on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """Something to wait for, whose outcome the steps get: sent, or thrown where it fails.

    Attributes:
        block: Waits in this thread.
        wait: Waits on the event loop.
    """

    block: Callable[[], Any]
    wait: Callable[[], Awaitable[Any]]


Steps = Generator[Step, Any, T]
"""Yields what to wait for, returns a result."""


def on_disk(work: Callable[[], Any]) -> Step:
    """Work that an event loop leaves to a thread."""
    return Step(work, partial(asyncio.to_thread, work))


def somebody_else(future: Future[Any], patience_s: float | None = None) -> Step:
    """Wait for what others do.

    Args:
        future: Their result.
        patience_s: How long a thread waits before a `TimeoutError`: where others may run on an
            event loop that it keeps from running.
    """
    return Step(partial(future.result, patience_s), lambda: asyncio.wrap_future(future))


def promise() -> Future[Any]:
    """A future that those who wait for it cannot cancel for each other."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


def run(steps: Steps[T]) -> T:
    """Run steps in this thread."""
    with closing(steps):
        go_on: Callable[[], Step] = partial(next, steps)
        while True:
            try:
                step = go_on()
            except StopIteration as done:
                result: T = done.value
                return result
            try:
                go_on = partial(steps.send, step.block())
            except Exception as error:  # for the steps to judge
                go_on = partial(steps.throw, error)


async def arun(steps: Steps[T]) -> T:
    """Run steps on the event loop."""
    with closing(steps):
        go_on: Callable[[], Step] = partial(next, steps)
        while True:
            try:
                step = go_on()
            except StopIteration as done:
                result: T = done.value
                return result
            try:
                go_on = partial(steps.send, await step.wait())
            except Exception as error:  # for the steps to judge
                go_on = partial(steps.throw, error)
