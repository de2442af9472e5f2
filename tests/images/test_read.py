"""Reading many images in batches."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.images import Policy, admit, read_batches
from rar_agent.images.read import BATCH_PIXELS
from rar_agent.settings import load_settings
from rar_agent.types import Failure

SMALL = np.zeros((2, 2, 3), np.uint8)

POLICY = Policy.of(load_settings(), "caller")


def kept(image):
    return image, image.rgb.width * image.rgb.height


def batches(items, size):
    return read_batches(items, POLICY, size, lambda item: item, kept)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1), st.integers(0, 30))
def test_each_batch_has_as_many_as_are_wanted_by_then(wanted, count):
    asked = iter(wanted * (count + 1))
    sizes = [len(batch) for batch in batches([SMALL] * count, lambda: next(asked))]
    asked = iter(wanted * (count + 1))
    assert sum(sizes) == count
    assert all(size == next(asked) for size in sizes[:-1])


def test_order_is_kept_and_failures_stand_in_their_place():
    items = [SMALL, b"", SMALL, SMALL, b"no", SMALL]
    found = list(batches(items, 4))
    assert [len(batch) for batch in found] == [4, 2]
    read = [pair for batch in found for pair in batch]
    assert [id(item) for item, _ in read] == [id(item) for item in items]
    assert [isinstance(one, Failure) for _, one in read] == [False, True, False, False, True, False]


def test_pixels_bound_a_batch(monkeypatch):
    assert BATCH_PIXELS > 4
    monkeypatch.setattr("rar_agent.images.read.BATCH_PIXELS", 10)
    large = np.zeros((4, 4, 3), np.uint8)
    found = batches([SMALL, SMALL, SMALL, large, SMALL], 9)
    assert [len(batch) for batch in found] == [2, 1, 1, 1]


def test_what_was_admitted_is_taken_as_it_is():
    image = admit(SMALL)
    assert list(batches([image], 2)) == [[(image, image)]]
    known = read_batches([image], POLICY, 2, lambda item: item, kept, lambda _, sha256: True)
    assert list(known) == [[(image, image.sha256)]]


def test_the_next_batch_is_read_while_one_is_used_and_no_more():
    taken, made = [], []

    def items():
        for number in range(100):
            taken.append(number)
            yield SMALL

    def noted(image):
        made.append(image)
        return None, 0

    read = read_batches(items(), POLICY, 5, lambda item: item, noted)
    assert len(next(read)) == 5
    until = time.monotonic() + 10
    while len(made) < 9 and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(0.05)  # no more come
    assert 9 <= len(made) == len(taken) <= 10
    read.close()


def test_what_waits_is_bounded_by_its_pixels(monkeypatch):
    monkeypatch.setattr("rar_agent.images.read.BATCH_PIXELS", 10)
    monkeypatch.setattr("rar_agent.images.read.THREADS", 2)
    made = []

    def noted(image):
        made.append(image)
        return kept(image)

    read = read_batches([SMALL] * 60, POLICY, 1, lambda item: item, noted)
    next(read)
    time.sleep(0.1)
    assert len(made) <= 1 + 3 + 2  # taken, 12 pixels, and two that were begun before the last
    assert len(list(read)) == 59


def test_what_making_raises_is_raised_and_no_thread_is_left():
    before = threading.active_count()

    def refuse(image):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(read_batches([SMALL] * 9, POLICY, 2, lambda item: item, refuse))
    assert threading.active_count() == before
