import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rar_agent.errors import ImageError
from rar_agent.images.decode import decode, to_rgb
from rar_agent.images.policy import Limits
from tests.conftest import draw

LIMITS = Limits()


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = Image.new("RGB", (60, 40), "white")
    upright.paste("red", (0, 0, 20, 20))  # a red corner, top left
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[274] = orientation
    shown = decode(encoded(stored, "PNG", exif=exif), "x", LIMITS)
    assert np.array_equal(np.asarray(shown), np.asarray(upright))


def test_alpha_is_composed_on_white():
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((0, 0), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 128))
    rgb = decode(encoded(image, "PNG"), "x", LIMITS)
    assert rgb.getpixel((3, 3)) == (255, 255, 255)
    assert rgb.getpixel((0, 0)) == (255, 0, 0)
    assert rgb.getpixel((1, 0)) == (127, 127, 127)


def test_palette_with_transparency():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 1), 1)
    rgb = decode(encoded(image, "PNG", transparency=0), "x", LIMITS)
    assert rgb.getpixel((0, 0)) == (255, 255, 255)
    assert rgb.getpixel((1, 1)) == (200, 100, 50)


def test_grey_with_alpha_and_one_bit():
    assert to_rgb(Image.new("LA", (2, 2), (9, 255))).getpixel((0, 0)) == (9, 9, 9)
    assert to_rgb(Image.new("1", (2, 2), 1)).getpixel((0, 0)) == (255, 255, 255)


def test_cmyk_jpeg():
    rgb = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), "x", LIMITS)
    red, green, blue = rgb.getpixel((4, 4))
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_scale(kind):
    values = np.array([[0, 255, 256], [32_768, 65_280, 65_535]], np.uint16)
    rgb = decode(encoded(Image.fromarray(values), kind), "x", LIMITS)
    assert np.asarray(rgb)[:, :, 0].tolist() == [[0, 0, 1], [128, 255, 255]]


def test_float_images_are_scaled_from_their_range():
    values = np.array([[-1.0, 0.0], [np.nan, 3.0]], np.float32)
    assert np.asarray(to_rgb(Image.fromarray(values)))[:, :, 0].tolist() == [[0, 64], [64, 255]]


def test_first_frame_of_an_animation():
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    for kind in ("GIF", "WEBP", "TIFF", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(first, kind, save_all=True, append_images=[second], **options)
        assert decode(data, "x", LIMITS).getpixel((0, 0)) == (255, 0, 0), kind


def test_malformed_exif_does_not_cost_the_picture():
    data = encoded(draw("red", 1), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\0" * 20)
    assert decode(data, "x", LIMITS).size == (96, 96)


BASES = [
    encoded(draw("green", 3, 32), "PNG"),
    encoded(draw("green", 3, 32), "JPEG"),
    encoded(draw("green", 3, 32), "GIF"),
    encoded(draw("green", 3, 32), "TIFF", compression="tiff_lzw"),
    encoded(draw("green", 3, 32), "WEBP"),
    encoded(draw("green", 3, 32), "BMP"),
]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_bytes_are_an_image_or_an_image_error(data):
    damaged = bytearray(data.draw(st.sampled_from(BASES)))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(1, len(damaged)))]
    try:
        image = decode(bytes(damaged), "damaged", LIMITS)
    except ImageError:
        return
    assert image.mode == "RGB"
    assert image.width * image.height <= LIMITS.max_pixels
