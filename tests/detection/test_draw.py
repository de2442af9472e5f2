"""What is drawn can be read: whatever the background, the size, the name and the colour vision."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rar_agent.detection.draw import PALETTE, UNSURE, contrast, draw, ink_on
from rar_agent.errors import InputError
from rar_agent.types import Detection, Failure
from tests.detection.test_coco import detection, detections


def found(box, name="dog", score=0.83, decision="accepted"):
    return detection(box, {name: score}, None, decision).model_copy(update={"score": score})


def failed(box):
    return Detection(box=box, failure=Failure(source="a", error="x", kind="ImageError"))


def rgb(colour):
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def colours(image):
    return {colour for _, colour in image.getcolors(image.width * image.height)}


def where(image, colour):
    """(high, wide) whether pixels are of a colour."""
    return (np.asarray(image) == rgb(colour)).all(axis=2)


@pytest.fixture(scope="module")
def paper():
    return Image.new("RGB", (640, 480), "#808080")


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#000000", "#ffffff", 21), ("#777777", "#ffffff", 4.48), ("#ff0000", "#ffffff", 4.0)],
)
def test_contrast_is_as_wcag_has_it(one, other, ratio):
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.005)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_letters_are_read_on_any_plate(parts):
    colour = "#{:02x}{:02x}{:02x}".format(*parts)
    assert contrast(ink_on(colour), colour) >= 4.5


@given(st.tuples(*[st.integers(0, 255)] * 3), st.sampled_from([*PALETTE, UNSURE]))
def test_a_line_or_its_hairline_is_seen_on_any_background(parts, colour):
    background = "#{:02x}{:02x}{:02x}".format(*parts)
    seen = max(contrast(colour, background), contrast(ink_on(colour), background))
    assert seen >= math.sqrt(contrast(colour, ink_on(colour))) - 1e-9 > 2.2


# Machado, Oliveira & Fernandes (2009), of severity 1, for linear RGB.
VISIONS = {
    "usual": np.eye(3),
    "no red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("vision", VISIONS)
def test_colours_differ_in_any_colour_vision(vision):
    color = pytest.importorskip("skimage.color", reason="needs the extra offline")
    srgb = np.array([rgb(colour) for colour in PALETTE]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(VISIONS[vision]), 0, 1)
    lab = color.xyz2lab(seen @ np.transpose(color.colorconv.xyz_from_rgb))
    for one, other in itertools.combinations(lab, 2):
        assert color.deltaE_ciede2000(one, other) > 9  # 2.3 is just seen side by side


def test_nothing_to_draw_leaves_the_image_alone(paper):
    before = np.asarray(paper).copy()
    empty = draw(paper, detections(width=640, height=480))
    assert (np.asarray(empty) == before).all()
    drawn = draw(paper, detections(found((100, 100, 50, 50)), width=640, height=480))
    assert (np.asarray(paper) == before).all()  # the given one, too
    assert drawn.size == paper.size
    assert drawn.mode == "RGB"
    grey = draw(paper.convert("L"), detections(width=640, height=480))
    assert grey.mode == "RGB"


def test_another_size_is_refused(paper):
    with pytest.raises(InputError, match="has 640x480 pixels, the detections are of one with"):
        draw(paper, detections(width=480, height=640))


def test_a_line_is_around_its_box_and_hides_nothing_of_it(paper):
    drawn = draw(paper, detections(found((100, 100, 200, 150)), width=640, height=480))
    inside = drawn.crop((100, 100, 300, 250))
    assert colours(inside) == {(128, 128, 128)}
    line = where(drawn, PALETTE[0])
    for y, x in [(175, 98), (175, 301), (98, 200), (251, 200)]:
        assert line[y - 1 : y + 2, x - 1 : x + 2].any()
    assert line[:100].sum() > 1000  # the label's plate, above
    assert not line[:, 310:].any()


def test_a_category_has_one_colour_and_the_ninth_has_dashes(paper):
    def drawn(names):
        boxes = [((5 + 60 * at, 300, 50, 170), name) for at, name in enumerate(names)]
        return draw(
            paper, detections(*(found(box, name) for box, name in boxes), width=640, height=480)
        )

    two = drawn(["dog", "cat", "dog"])
    assert where(two, PALETTE[0])[400, 5 + 120 - 5 : 5 + 120].any()
    assert where(two, PALETTE[1])[400, 60:65].any()
    many = drawn([f"c{at}" for at in range(9)])
    for at in range(8):
        beside = where(many, PALETTE[at])[310:460, 60 * at : 5 + 60 * at].any(axis=1)
        assert beside.all()
    ninth = where(many, PALETTE[0])[310:460, 480:485].any(axis=1)
    assert 0.5 < ninth.mean() < 0.95


def test_colours_stay_whatever_is_left_out(paper):
    every = detections(
        found((10, 100, 50, 50), "dog", 0.2),
        found((300, 100, 50, 50), "cat", 0.9),
        failed((10, 300, 50, 50)),
        width=640,
        height=480,
    )
    assert {rgb(PALETTE[0]), rgb(PALETTE[1]), rgb(UNSURE)} <= colours(draw(paper, every))
    sure = colours(draw(paper, every, least=0.5))
    assert rgb(PALETTE[1]) in sure
    assert not {rgb(PALETTE[0]), rgb(UNSURE)} & sure


def test_abstained_and_failed_ones_are_grey_and_dotted(paper):
    for one in (found((100, 100, 200, 150), decision="abstained"), failed((100, 100, 200, 150))):
        drawn = draw(paper, detections(one, width=640, height=480))
        side = where(drawn, UNSURE)[110:240, 95:100].any(axis=1)
        assert 0.3 < side.mean() < 0.7
        assert rgb(PALETTE[0]) not in colours(drawn)


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (7300, 5480)])
def test_lines_and_letters_grow_with_the_image(size):
    box = (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2)
    drawn = draw(
        Image.new("RGB", size, "white"), detections(found(box), width=size[0], height=size[1])
    )
    side = math.sqrt(size[0] * size[1])
    plate = where(drawn.crop((box[0], 0, box[0] + 50, box[1])), PALETTE[0])
    assert plate.any(axis=1).sum() == pytest.approx(0.042 * side, rel=0.15)
    line = where(drawn.crop((0, size[1] // 2, box[0], size[1] // 2 + 1)), PALETTE[0])
    assert line.sum() == pytest.approx(0.005 * side, rel=0.2)


SIZE = st.tuples(st.integers(1, 300), st.integers(1, 300))
PLACE = st.floats(-400, 400) | st.sampled_from([math.nan, math.inf, -1e300, 1e300])
ANY = st.builds(
    found,
    st.tuples(PLACE, PLACE, PLACE, PLACE),
    st.text(min_size=1, max_size=30),
    st.floats(0, 1),
    st.sampled_from(["accepted", "abstained"]),
)


@settings(max_examples=60)
@given(SIZE, st.lists(ANY, max_size=12), st.floats(0, 1))
def test_anything_is_drawn(size, some, least):
    wide, high = size
    image = Image.new("RGB", size, "#808080")
    drawn = draw(image, detections(*some, width=wide, height=high), least)
    assert drawn.size == size


def test_the_smaller_box_is_on_top(paper):
    large, small = found((100, 100, 300, 300), "dog"), found((80, 200, 60, 60), "cat")
    for order in ([large, small], [small, large]):
        drawn = draw(paper, detections(*order, width=640, height=480))
        names = list(dict.fromkeys(one.label for one in order))
        cat = where(drawn, PALETTE[names.index("cat")])
        assert cat[197:199, 90:130].any(axis=0).all()  # across the larger one's line


def test_hundreds_on_a_photo(photo):
    image = Image.open(photo).convert("RGB")
    random = np.random.default_rng(0)
    some = [
        found(
            (*random.uniform(-20, min(image.size), 2), *random.gamma(2, 20, 2)),
            f"category {random.integers(40)}",
            random.random(),
        )
        for _ in range(300)
    ]
    drawn = draw(image, detections(*some, width=image.width, height=image.height))
    assert {rgb(colour) for colour in PALETTE} <= colours(drawn)
