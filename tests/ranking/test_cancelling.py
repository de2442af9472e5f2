"""Who gives up leaves nothing behind: no request, no money held, no question on its way."""

import asyncio
import signal
import threading

import pytest

from rar_agent import Recognizer, loop
from rar_agent.images import to_picture
from rar_agent.memory import create_memory, read_folder
from rar_agent.models.budget import of_process
from rar_agent.models.cache import cache_at
from tests.conftest import COLOURS, draw, eventually
from tests.openai_server import Reply, pictures_of

IMAGES = [draw(colour, 99) for colour in COLOURS]
SLOW = Reply('{"ranking": ["A", "B"]}', delay_s=20)
QUICK = Reply('{"ranking": ["A", "B"]}')
PRICES = {"m": {"input": 1, "output": 1}}


@pytest.fixture(scope="module")
def place(tmp_path_factory, builtin, discs):
    folder = tmp_path_factory.mktemp("cancelled")
    create_memory(folder, "discs", builtin, read_folder(discs))
    return folder


@pytest.fixture
def recognizer(place, server):
    found = Recognizer(
        "discs",
        "m",
        home=place,
        base_url=server.url,
        skip_ranking_at=1.01,
        device="cpu",
        prices=PRICES,
        max_cost=100,
        cache_mb=10,
        batch_size=4,
    )
    found.recognize(draw("red", 1))  # what a call costs is known: several go at once
    server.script = [SLOW]
    yield found
    eventually(lambda: server.open == 0)
    assert server.left > 0
    assert of_process()._held == []
    assert cache_at(place / "cache" / "answers.sqlite", 10).flights._flights == {}
    eventually(lambda: not asyncio.all_tasks(loop._loop()))
    server.script = [QUICK]
    assert found.recognize(draw("blue", 5)).trace.parse_status == "repaired"


async def asked(server, count):
    while server.open < count:
        await asyncio.sleep(0.01)


async def test_a_cancelled_task(server, recognizer):
    task = asyncio.create_task(recognizer.arecognize(IMAGES[0]))
    await asked(server, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_limit(server, recognizer):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await recognizer.arecognize(IMAGES[0])


async def test_a_cancelled_batch(server, recognizer):
    task = asyncio.create_task(recognizer.arecognize_batch(IMAGES))
    await asked(server, 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asyncio.all_tasks()) == 1


async def test_many_that_wait_for_one_answer(server, recognizer):
    tasks = [asyncio.create_task(recognizer.arecognize(IMAGES[0])) for _ in range(4)]
    await asked(server, 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_while_it_waits_for_a_retry(server, recognizer):
    server.script = [Reply(status=429, headers={"Retry-After": "60"})]
    task = asyncio.create_task(recognizer.arecognize(IMAGES[0]))
    while len(server.requests) < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.left += 1  # nothing was open


@pytest.mark.parametrize("way", ["recognize", "recognize_batch"])
def test_ctrl_c(server, recognizer, way):
    before = {thread.name for thread in threading.enumerate()}
    wanted = 1 if way == "recognize" else 4

    def interrupt():
        eventually(lambda: server.open >= wanted)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    finger = threading.Thread(target=interrupt, name="finger")
    finger.start()
    images = IMAGES[0] if way == "recognize" else IMAGES
    with pytest.raises(KeyboardInterrupt):
        getattr(recognizer, way)(images)
    finger.join()
    left = {thread.name for thread in threading.enumerate()} - before
    assert all(name.startswith(("rar-agent-work", "Thread-")) for name in left)  # idle; the server


def test_a_stream_that_nobody_reads_on(server, recognizer):
    first = to_picture(IMAGES[0]).jpeg
    server.answer = lambda request: QUICK if first in pictures_of(request) else SLOW
    results = recognizer.stream(IMAGES)
    assert next(results).trace.parse_status == "repaired"
    results.close()
    server.answer = None
