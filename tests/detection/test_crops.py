"""Crops: what is inside any box stays sharp, what is around it looks as the style says."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rar_agent.detection import CropStyle, crop
from rar_agent.errors import InputError


def noisy(width, height):
    random = np.random.default_rng(0)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def noise():
    return noisy(300, 200)


def where(part, whole):
    """Offsets, x and y, at which a part is in a whole, pixel for pixel."""
    part, whole = np.asarray(part), np.asarray(whole)
    (high, wide), (height, width) = part.shape[:2], whole.shape[:2]
    if high > height or wide > width:
        return []
    spots = np.argwhere((whole[: height - high + 1, : width - wide + 1] == part[0, 0]).all(-1))
    return [(x, y) for y, x in spots if (whole[y : y + high, x : x + wide] == part).all()]


def test_the_box_is_as_it_was_and_what_is_around_it_is_blurred(noise):
    style = CropStyle(square=False, blur=0.05)
    found = np.asarray(crop(noise, (100, 60, 40, 20), style), dtype=float)
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
        ((-1e308, -1e308, 1.7e308, 1.7e308), (300, 200)),  # no number is too large
    ],
)
def test_sizes(noise, box, size):
    assert crop(noise, box, CropStyle(square=False)).size == size
    assert crop(noise, box).size == (max(size),) * 2


@pytest.mark.parametrize(
    "box",
    [
        (300, 0, 5, 5),
        (-5, 0, 5, 5),
        (10, 10, 0, -3),
        (10.5, 10.5, 0, 3),
        (float("nan"), 0, 5, 5),
        (0, 0, 1e400, 5),
    ],
)
def test_boxes_that_are_none(noise, box):
    with pytest.raises(InputError, match="is not in an image of 300x200 pixels"):
        crop(noise, box)


@pytest.mark.parametrize(
    "style",
    [
        {"scales": (0.9, 1, 1)},
        {"scales": (1, 1)},
        {"scales": (1, 1, float("inf"))},
        {"blur": -0.1},
        {"blur": 1.1},
        {"blur": float("nan")},
    ],
)
def test_styles_that_are_none(style):
    with pytest.raises(InputError, match=f"Crop {next(iter(style))} .* Give "):
        CropStyle(**style)


def test_no_crop_has_no_side(noise):
    with pytest.raises(InputError, match="0 pixels"):
        crop(noise, (0, 0, 9, 9), side=0)


def test_a_square_takes_the_surroundings_that_there_are_and_grey_beyond(noise):
    plain = CropStyle((1, 1, 1), square=True, blur=0)
    inside = np.asarray(crop(noise, (100, 40, 100, 20), plain))
    assert (inside == np.asarray(noise)[0:100, 100:200]).all()  # moved nowhere, 40 more each side
    at_edge = np.asarray(crop(noise, (100, 0, 100, 20), plain))
    assert at_edge.shape == (100, 100, 3)
    assert (at_edge[40:] == np.asarray(noise)[:60, 100:200]).all()
    assert (at_edge[:40] == 127).all()


def test_an_outline_is_around_the_box_and_nothing_in_it(noise):
    found = np.asarray(crop(noise, (100, 60, 100, 100), CropStyle(outline=True, blur=0)))
    assert found.shape == (120, 120, 3)
    assert (found[10:110, 10:110] == np.asarray(noise)[60:160, 100:200]).all()
    red = (found == (255, 0, 0)).all(-1)
    line = np.zeros_like(red)
    line[8:112, 8:112] = True  # 1.5 % of 120 pixels
    line[10:110, 10:110] = False
    assert (red >= line).all()
    assert red.sum() == line.sum()


def test_a_smaller_one_shows_the_same_place():
    image = Image.new("RGB", (4_000, 3_000))
    image.paste((255, 255, 255), (1_000, 1_000, 3_000, 2_000))
    style = CropStyle((1, 1, 2), square=False, blur=0.05)
    found = np.asarray(crop(image, (1_000, 1_000, 2_000, 1_000), style, 400))
    assert found.shape == (200, 400, 3)
    assert found[55:145, 105:295].min() > 250
    assert found[:40].max() < 120
    assert found[:, :80].max() < 120


LENGTH = st.floats(0.01, 1) | st.floats(1, 100) | st.floats(1, 1e6)
INSIDE = st.tuples(st.floats(0, 59.9), st.floats(0, 39.9), LENGTH, LENGTH)
ANY = st.floats(-80, 80) | st.floats(-1e4, 1e4)
BOX = INSIDE | st.tuples(ANY, ANY, ANY, ANY)
SCALE = st.floats(1, 4)
STYLE = st.builds(
    CropStyle,
    st.tuples(SCALE, SCALE, SCALE),
    st.booleans(),
    st.just(0.0) | st.floats(0, 0.3),
    st.booleans(),
)
SMALL = noisy(60, 40)


def touched(box, image):
    """The image's pixels that a box touches."""
    xs = [x for x in range(image.width) if box[0] < x + 1 and box[0] + box[2] > x]
    ys = [y for y in range(image.height) if box[1] < y + 1 and box[1] + box[3] > y]
    real = xs and ys and box[2] > 0 and box[3] > 0
    return image.crop((xs[0], ys[0], xs[-1] + 1, ys[-1] + 1)) if real else None


@given(BOX, STYLE)
def test_any_box_is_cropped_with_its_inside_sharp_or_refused(box, style):
    inside = touched(box, SMALL)
    if inside is None:
        with pytest.raises(InputError, match="not in an image"):
            crop(SMALL, box, style)
        return
    found = crop(SMALL, box, style)
    assert found.mode == "RGB"
    assert where(inside, found)
    if style.square:
        assert found.width == found.height <= 60
    else:
        assert found.width <= 60
        assert found.height <= 40
        if not style.blur and not style.outline:
            assert where(found, SMALL)


@given(INSIDE, STYLE, st.integers(1, 80))
def test_a_side_bounds_any_crop_and_changes_no_smaller_one(box, style, side):
    whole, found = crop(SMALL, box, style), crop(SMALL, box, style, side)
    assert min(found.size) >= 1
    if max(whole.size) <= side:
        assert found == whole
    else:
        assert max(found.size) == side
        if style.square:
            assert found.width == found.height


def test_a_box_of_a_panorama_is_no_giant_square():
    assert crop(Image.new("RGB", (20_000, 2)), (0, 0, 20_000, 2), CropStyle(square=True)).size == (
        4_096,
        4_096,
    )


HUGE = """
import resource
from PIL import Image
from rar_agent.detection import CropStyle, crop
from rar_agent.detection.crops import SIDE

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

image = Image.new("RGB", (8_000, 5_000), (9, 9, 9))
before = peak()
for square in (False, True):
    crop(image, (0, 0, 8_000, 5_000), CropStyle(square=square, outline=True), SIDE)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="kilobytes of memory are counted on Linux")
def test_of_a_huge_image_nothing_huge_is_made():
    """40 megapixels, 160 MB in Pillow: neither copied nor blurred as they are."""
    told = subprocess.run([sys.executable, "-c", HUGE], capture_output=True, text=True, check=True)
    assert int(told.stdout) < 40_000
