"""Reading many images in batches."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.images import Policy, admit, read_batches
from rar_agent.images.read import BATCH_PIXELS
from rar_agent.settings import load_settings
from rar_agent.types import Failure

SMALL = np.zeros((2, 2, 3), np.uint8)


def batches(items, size):
    return read_batches(items, Policy.of(load_settings(), "caller"), size, lambda item: item)


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
    policy = Policy.of(load_settings(), "caller")
    known = read_batches([image], policy, 2, lambda item: item, lambda _, sha256: True)
    assert list(known) == [[(image, image.sha256)]]
