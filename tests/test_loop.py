"""The loop on which models are asked, seen from threads, other loops and forks."""

import asyncio
import gc
import threading
import time
from contextvars import ContextVar

import pytest

from rar_agent import loop
from rar_agent.loop import Call, Room, Threads, arun, run
from tests.forks import in_fork, needs_fork

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


def test_whoever_comes_first_at_the_same_time_there_is_one_loop(monkeypatch):
    monkeypatch.setattr(loop, "_loop", loop._Loop())
    new, made = asyncio.new_event_loop, []

    def slowly():
        time.sleep(0.05)
        made.append(new())
        return made[-1]

    loops, gate = [new() for _ in range(4)], threading.Barrier(4)
    monkeypatch.setattr(asyncio, "new_event_loop", slowly)

    def ask(mine):
        gate.wait()
        mine.run_until_complete(arun(where()))
        mine.close()

    threads = [threading.Thread(target=ask, args=(one,)) for one in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_on_the_loop_itself_nobody_can_wait_for_it():
    async def asks():
        run(where())

    with pytest.raises(RuntimeError, match="Await aask or arecognize"):
        run(asks())


async def test_who_is_cancelled_leaves_no_noise():
    said = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    task = asyncio.create_task(arun(slow([])))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    del task
    gc.collect()
    assert said == []


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


def short(work):
    """Run on the loop, in one of its threads."""
    return asyncio.get_running_loop().run_in_executor(None, work)


@pytest.mark.parametrize("how", ["run", "asyncio.run"])
def test_work_that_waits_for_work_never_fills_all_threads(how):
    """As 40 synchronous callbacks do, each of which asks a model."""
    gate = threading.Barrier(loop._THREADS)  # all threads are in it at the same time

    async def inner():
        return await short(lambda: threading.current_thread().name)

    def outer(number):
        if number < loop._THREADS:
            gate.wait(20)
        return run(inner()) if how == "run" else asyncio.run(arun(inner()))

    async def crowd():
        return await asyncio.gather(*(short(lambda n=n: outer(n)) for n in range(40)))

    names = Call(crowd()).done.result(20)
    assert len(names) == 40
    assert all(name.startswith("rar-agent-work") for name in names)


def test_a_place_is_not_waited_for_by_what_is_asked_in_it():
    room, threads = Room(2), Threads(2, "test")

    async def asks(deeper):
        async with room.nested():
            if not deeper:
                return 1
            here = await asks(deeper - 1)  # as an asynchronous callback
            return here + await threads.run(lambda: run(asks(deeper - 1)))  # as another one

    async def crowd():
        return await asyncio.gather(*(asks(3) for _ in range(6)))

    assert Call(crowd()).done.result(20) == [8] * 6


def test_callbacks_without_end_are_told_so():
    async def asks():
        return await short(lambda: run(asks()))

    with pytest.raises(RuntimeError, match="must not be a callback of that model"):
        run(asks())


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


@needs_fork
def test_a_fork_has_a_loop_of_its_own():
    run(where())
    assert in_fork(lambda: run(where())[0] == "rar-agent-loop")
    assert run(where())[0] == "rar-agent-loop"
