"""The loop on which models are asked, seen from threads, other loops and forks."""

import asyncio
import os
import threading
import time
from contextvars import ContextVar

import pytest

from rar_agent.loop import Call, Room, arun, run

NAME = ContextVar("NAME", default="")


async def where():
    return threading.current_thread().name, NAME.get()


async def slow(ended):
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.05)
        ended.append(True)


def test_all_run_in_one_thread_with_the_context_of_who_asks():
    NAME.set("thread")
    assert run(where()) == ("rar-agent-loop", "thread")

    async def elsewhere():
        NAME.set("loop")
        return await arun(where())

    assert asyncio.run(elsewhere()) == ("rar-agent-loop", "loop")
    assert asyncio.run(elsewhere()) == ("rar-agent-loop", "loop")  # a loop of its own, each time
    assert run(elsewhere())[0] == "rar-agent-loop"  # from the loop itself: no wait for itself


def test_errors_come_back():
    async def fails():
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(fails())
    with pytest.raises(KeyError):
        asyncio.run(arun(fails()))


async def test_who_is_cancelled_has_nothing_left_running():
    ended = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await arun(slow(ended))
    assert ended == [True]


def test_a_call_may_be_cancelled_before_it_begins():
    ended = []
    call = Call(slow(ended))
    call.cancel()
    assert isinstance(call.done.exception(5), asyncio.CancelledError)


def test_room_is_for_so_many():
    inside, most = [], []

    async def one(room):
        async with room.place():
            inside.append(1)
            most.append(len(inside))
            await asyncio.sleep(0.01)
            inside.pop()

    async def crowd():
        room = Room(3)
        await asyncio.gather(*(one(room) for _ in range(12)))

    run(crowd())
    assert max(most) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_fork_has_a_loop_of_its_own():
    run(where())
    child = os.fork()
    if not child:
        os._exit(0 if run(where())[0] == "rar-agent-loop" else 1)
    end = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert run(where())[0] == "rar-agent-loop"
