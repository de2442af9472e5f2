"""Places that threads and coroutines wait for in one line."""

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.graph.places import Places
from tests.conftest import eventually
from tests.forks import Stuck, in_fork, needs_fork


def waiting(places):
    return len(places._waiting)


@given(
    size=st.integers(1, 4),
    count=st.integers(1, 12),
    cancelled=st.sets(st.integers(0, 11)),
)
def test_never_more_are_inside_and_all_come_in_turn(size, count, cancelled):
    places, inside, came = Places(size), set(), []

    async def visit(number):
        async with places.aplace():
            inside.add(number)
            came.append(number)
            assert len(inside) <= size
            try:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            finally:
                inside.remove(number)

    async def all_of_them():
        tasks = [asyncio.create_task(visit(number)) for number in range(count)]
        await asyncio.sleep(0)  # all are in line, or inside
        gone = sorted(number for number in cancelled if number < count)
        for number in gone:
            tasks[number].cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [e for n, e in enumerate(ended) if n not in gone] == [None] * (count - len(gone))

    asyncio.run(all_of_them())
    assert came == sorted(came)
    assert set(came) | cancelled >= set(range(count))
    assert not places._held
    assert not places._waiting


def test_threads_and_coroutines_wait_in_one_line():
    places, came, leave = Places(1), [], threading.Event()

    def hold():
        with places.place():
            leave.wait(30)

    def visit():
        with places.place():
            came.append("thread")

    async def avisit():
        async with places.aplace():
            came.append("coroutine")

    with ThreadPoolExecutor(5) as pool:
        pool.submit(hold)
        eventually(lambda: places._held)
        for number, one in enumerate((visit, lambda: asyncio.run(avisit()), visit)):
            pool.submit(one)
            eventually(lambda number=number: waiting(places) == number + 1)
        leave.set()
    assert came == ["thread", "coroutine", "thread"]


async def test_what_is_called_inside_gives_the_place_back_early():
    places = Places(1)
    async with places.aplace():
        async with places.aplace():
            assert len(places._held) == 1
        assert not places._held
        async with places.aplace():  # the caller's own is gone: another is taken
            assert len(places._held) == 1
    assert not places._held


async def test_who_is_cancelled_as_the_place_comes_gives_it_on():
    places = Places(1)

    async def visit():
        async with places.aplace():
            await asyncio.sleep(0)

    async with places.aplace():
        first, second = (asyncio.create_task(visit(), context=Context()) for _ in range(2))
        await asyncio.sleep(0)
    first.cancel()  # it has the place, and does not know yet
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait_for(second, 10)


@needs_fork
def test_a_forked_process_has_places_of_its_own():
    places = Places(1)
    stuck = Stuck()

    def hold():
        with places.place():
            stuck()

    def take():
        with places.place():
            return True

    with stuck.held(hold):
        assert in_fork(take)


def test_a_place_is_free_again_where_a_loop_was_closed_with_someone_inside():
    places = Places(1)

    async def stay():
        async with places.aplace():
            await asyncio.Event().wait()

    async def begin():
        task = asyncio.ensure_future(stay())
        await asyncio.sleep(0)
        return task

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(begin())
    loop.close()
    assert len(places._held) == 1
    task._log_destroy_pending = False
    del task
    gc.collect()
    assert not places._held
