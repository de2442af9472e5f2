"""Images of callers at the same time: encoded together, in turn, once, and none for another."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rar_agent.graph.embeddings import Embeddings
from rar_agent.images import AdmittedImage
from tests.conftest import COLOURS, draw, eventually
from tests.forks import Stuck, in_fork, needs_fork

BAD = 5
"""The number of the image that cannot be encoded."""


def numbered(number):
    return AdmittedImage(f"sha-{number}", Image.new("RGB", (1, 1), (number, 0, 0)), "")


def expected(number):
    return [number, 1.0], number + 0.5


class Gated:
    """An encoder whose passes begin, and then wait until they may end."""

    def __init__(self):
        self.passes, self.alone, self._failed = [], [], set()
        self.begun, self.end = threading.Semaphore(0), threading.Semaphore(0)

    def prepare(self, image):
        return np.asarray(image)

    def encode_images_with_norms(self, images):
        return self.encode_prepared([self.prepare(image) for image in images])

    def encode_prepared(self, images):
        numbers = [int(image[0, 0, 0]) for image in images]
        if len(numbers) == 1 and numbers[0] in self._failed:
            self._failed -= set(numbers)
            self.alone += numbers
        else:
            self.passes.append(numbers)
            self.begun.release()
            assert self.end.acquire(timeout=30)
        if BAD in numbers:
            self._failed = set(numbers) if len(numbers) > 1 else set()
            raise ValueError(f"bad among {numbers}")
        rows, norms = zip(*map(expected, numbers), strict=True)
        return np.array(rows, np.float32), np.array(norms, np.float32)


class Model:
    """What is to happen, in one thread and without time."""

    def __init__(self, most):
        self.most, self.known, self.waiting, self.running = most, set(), [], []
        self.callers, self.passes = dict.fromkeys(range(8), 0), []

    def ask(self, number):
        if number not in self.known:
            self.callers[number] += 1
            if number not in self.waiting + self.running:
                self.waiting.append(number)

    def leave(self, number):
        self.callers[number] -= 1
        if not self.callers[number] and number in self.waiting:
            self.waiting.remove(number)

    def begin(self):
        """Whether a pass begins."""
        if self.running or not self.waiting:
            return False
        self.running, self.waiting = self.waiting[: self.most], self.waiting[self.most :]
        self.passes.append(self.running)
        return True

    def end(self):
        self.known |= set(self.running) - {BAD}
        for number in self.running:
            self.callers[number] = 0
        self.running = []


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 7)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("end"), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS, st.integers(1, 4))
def test_each_has_its_own_answer_in_turn_whoever_leaves_or_fails(steps, most):
    encoder, model = Gated(), Model(most)
    embeddings = Embeddings(encoder, most)
    asked = []  # number, task

    async def begin():
        if model.begin():
            assert await asyncio.to_thread(encoder.begun.acquire, timeout=30)

    async def end():
        done = [task for n, task in asked if n in model.running and not task.cancelled()]
        encoder.end.release()
        await asyncio.wait(done, timeout=30) if done else None
        eventually(
            lambda: not set(embeddings._wanted) - {(f"sha-{n}", (1, 1)) for n in model.waiting}
        )
        model.end()
        await begin()

    async def all_steps():
        for step, number in steps:
            if step == "ask":
                model.ask(number)
                task = asyncio.create_task(embeddings.aembed(numbered(number)))
                asked.append((number, task))
                await asyncio.sleep(0)
                await begin()
            elif step == "cancel" and number < len(asked):
                number, task = asked[number]
                if not task.done():
                    model.leave(number)
                    task.cancel()
                    await asyncio.wait([task])
                    assert list(embeddings._waiting) == [f"sha-{n}" for n in model.waiting]
            elif step == "end" and model.running:
                await end()
        while model.running:
            await end()
        return await asyncio.gather(*(task for _, task in asked), return_exceptions=True)

    found = asyncio.run(all_steps())
    assert encoder.passes == model.passes
    assert all(len(one) <= most for one in encoder.passes)
    for (number, task), embedding in zip(asked, found, strict=True):
        if task.cancelled():
            continue
        if number == BAD:
            assert str(embedding) == "bad among [5]"
        else:
            row, norm = embedding
            assert (row.tolist(), float(norm)) == expected(number)
    assert not embeddings._wanted
    assert not embeddings._waiting


@given(st.lists(st.integers(0, 4), min_size=1, max_size=24), st.integers(1, 4))
def test_threads_have_theirs_too(numbers, most):
    encoder = Gated()
    encoder.end.release(1_000)
    embeddings = Embeddings(encoder, most)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: embeddings.embed(numbered(number)), numbers))
    assert [(row.tolist(), float(norm)) for row, norm in found] == [*map(expected, numbers)]
    encoded = [number for one in encoder.passes for number in one]
    assert sorted(encoded) == sorted(set(numbers))  # each once


async def test_a_batch_takes_its_turn_and_is_known_afterwards():
    encoder = Gated()
    embeddings = Embeddings(encoder, 2)

    async def ask(number):
        return await embeddings.aembed(numbered(number))

    first = asyncio.create_task(ask(0))
    await asyncio.to_thread(encoder.begun.acquire)
    with ThreadPoolExecutor(2) as pool:
        batch = pool.submit(embeddings.embed_all, [numbered(n) for n in (1, 2, 3)])
        eventually(lambda: embeddings._turns._work_queue.qsize() == 1)
        later = [asyncio.create_task(ask(number)) for number in (4, 6)]
        await asyncio.sleep(0)
        encoder.end.release(3)
        rows, norms = await asyncio.wrap_future(batch)
    await asyncio.gather(first, *later)
    assert encoder.passes == [[0], [1, 2, 3], [4, 6]]
    assert (rows[1].tolist(), float(norms[1])) == expected(2)
    assert embeddings.known(numbered(3)) is not None
    embeddings.clear()
    assert embeddings.known(numbered(3)) is None


async def test_a_pass_waits_for_more_only_where_several_were_asked_for():
    encoder = Gated()
    embeddings = Embeddings(encoder, 3, window_s=20)

    async def ask(*numbers):
        return [asyncio.create_task(embeddings.aembed(numbered(number))) for number in numbers]

    encoder.end.release(3)
    await asyncio.wait_for((await ask(0))[0], 10)  # a caller alone does not
    await asyncio.gather(*await ask(1))
    encoder.end.acquire()
    first = await ask(2)
    await asyncio.to_thread(lambda: [encoder.begun.acquire() for _ in range(3)])
    several = await ask(3, 4)
    await asyncio.sleep(0)
    encoder.end.release(3)
    await asyncio.gather(*first, *several)
    tasks = await ask(6)
    await asyncio.sleep(0.05)
    assert not tasks[0].done()
    tasks += await ask(7, 8)  # full
    await asyncio.wait_for(asyncio.gather(*tasks), 10)
    assert encoder.passes == [[0], [1], [2], [3, 4], [6, 7, 8]]


def test_what_is_encoded_together_is_what_each_is_alone(builtin):
    images = [
        AdmittedImage(f"{colour}-{seed}", draw(colour, seed), "")
        for seed in range(3)
        for colour in COLOURS
    ]
    embeddings = Embeddings(builtin, 8)
    with ThreadPoolExecutor(len(images)) as pool:
        found = list(pool.map(embeddings.embed, images))
    for image, (row, norm) in zip(images, found, strict=True):
        (alone,), (length,) = builtin.encode_images_with_norms([image.rgb])
        assert np.abs(row - alone).max() < 1e-5
        assert norm == pytest.approx(length, rel=1e-5)


def test_memories_of_an_encoder_share_its_thread():
    """Each thread that encodes keeps memory of its own: a server that is taught would grow."""
    encoder, other, used = Gated(), Gated(), []
    encoder.end = other.end = threading.Semaphore(9)
    for one in (encoder, encoder, other, encoder):
        one.prepare = lambda image: used.append(threading.get_ident()) or np.asarray(image)
        embeddings = Embeddings(one, most=1)
        assert embeddings.embed(numbered(1))[1] == expected(1)[1]
        del embeddings
    assert used[0] == used[1] == used[3] != used[2]


@needs_fork
def test_a_forked_process_waits_for_no_pass_of_its_parent():
    stuck = Stuck()

    class Encoder(Gated):
        def encode_prepared(self, images):
            stuck()
            self.end.release()
            return super().encode_prepared(images)

    embeddings = Embeddings(Encoder(), 4)
    with stuck.held(lambda: embeddings.embed(numbered(0))):
        assert in_fork(lambda: embeddings.embed(numbered(0))[1] == expected(0)[1])
        assert in_fork(lambda: embeddings.embed(numbered(1))[1] == expected(1)[1])


def test_an_image_in_less_detail_is_another():
    encoder = Gated()
    encoder.end.release(2)
    embeddings = Embeddings(encoder, 2)
    whole = AdmittedImage("sha", Image.new("RGB", (2, 2), (1, 0, 0)), "")
    reduced = AdmittedImage("sha", Image.new("RGB", (1, 1), (2, 0, 0)), "")
    assert [embeddings.embed(one)[1] for one in (whole, reduced, whole)] == [1.5, 2.5, 1.5]
