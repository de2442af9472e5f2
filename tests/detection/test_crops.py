"""Crops: what is inside a box stays sharp, what is around it is blurred, whatever the box."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rar_agent.detection import crop
from rar_agent.errors import InputError


@pytest.fixture(scope="module")
def noise():
    random = np.random.default_rng(0)
    return Image.fromarray(random.integers(0, 256, (200, 300, 3), dtype=np.uint8))


def test_the_box_is_as_it_was_and_what_is_around_it_is_blurred(noise):
    found = np.asarray(crop(noise, (100, 60, 40, 20)), dtype=float)
    assert found.shape == (40, 80, 3)  # a small one: twice its sides
    inside = np.asarray(noise, dtype=float)[60:80, 100:140]
    assert (found[10:30, 20:60] == inside).all()
    assert found[:10].std() < 0.3 * inside.std()


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((100, 50, 40, 40), (60, 60)),  # medium
        ((50, 40, 200, 100), (240, 120)),  # large
        ((0, 0, 20, 20), (30, 30)),  # at a corner: cut off
        ((-10, -10, 20, 20), (20, 20)),  # over the edge
        ((299.5, 199.5, 1, 1), (1, 1)),
        ((0, 0, 300, 200), (300, 200)),
    ],
)
def test_sizes(noise, box, size):
    assert crop(noise, box).size == size


@pytest.mark.parametrize(
    "box",
    [(300, 0, 5, 5), (-5, 0, 5, 5), (10, 10, 0, -3), (float("nan"), 0, 5, 5), (0, 0, 1e400, 5)],
)
def test_boxes_that_are_none(noise, box):
    with pytest.raises(InputError, match="is not in an image of 300x200 pixels"):
        crop(noise, box)


SIDE = st.floats(-1e4, 1e4)


@given(st.tuples(SIDE, SIDE, SIDE, SIDE))
def test_any_box_is_cropped_or_refused(box):
    image = Image.new("RGB", (60, 40))
    try:
        found = crop(image, box)
    except InputError:
        return
    assert 0 < found.width <= 60
    assert 0 < found.height <= 40
