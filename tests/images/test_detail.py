"""JPEGs decoded at a reduced scale: as large as is wanted, and the same to whoever looks."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rar_agent.images import Limits, Policy, admit
from rar_agent.images.decode import REDUCED, decode
from tests.conftest import draw


def jpeg(image, **options):
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.integers(1, 200),
    st.sampled_from(["RGB", "L", "CMYK"]),
)
def test_sides_stay_as_long_as_is_wanted_and_in_proportion(width, height, detail, mode):
    data = jpeg(Image.new(mode, (width, height)))
    found = decode(data, "x", Limits(), detail)
    assert found.mode == "RGB"
    assert min(found.size) >= min(width, height, REDUCED * detail)
    scale = round(width / found.width)
    assert scale in (1, 2, 4, 8)
    assert found.size == (-(-width // scale), -(-height // scale))
    if min(width, height) < 2 * REDUCED * detail:
        assert found.size == (width, height)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_one_is_upright_too(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = jpeg(draw("red", 1, 640).resize((640, 480)), exif=exif)
    whole, reduced = decode(data, "x", Limits()), decode(data, "x", Limits(), 60)
    assert (reduced.width * 4, reduced.height * 4) == whole.size
    there = np.asarray(whole.resize(reduced.size, Image.Resampling.BOX), float)
    assert np.abs(there - np.asarray(reduced, float)).mean() < 2


def test_other_formats_and_whole_ones_keep_all_their_pixels():
    image = draw("red", 1, 640)
    buffer = BytesIO()
    image.save(buffer, "PNG")
    assert admit(buffer.getvalue(), detail=50).rgb.size == (640, 640)
    assert admit(jpeg(image), detail=50).rgb.size == (160, 160)
    assert admit(jpeg(image), Policy(whole=True), detail=50).rgb.size == (640, 640)
    assert admit(jpeg(image), detail=50).sha256 == admit(jpeg(image)).sha256


def test_limits_are_those_of_the_whole_image():
    data = jpeg(Image.new("RGB", (640, 640)))
    with pytest.raises(Exception, match="409,600 pixels"):
        decode(data, "x", Limits(max_pixels=400_000), 50)
