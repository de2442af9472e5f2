import base64
import io

import numpy as np
from PIL import Image, PngImagePlugin

from rar_agent.images import Picture, to_picture
from tests.conftest import draw


def test_large_images_are_scaled_to_the_side_and_small_ones_kept():
    for side, expected in ((2000, 768), (100, 100)):
        picture = to_picture(draw("red", 1, side))
        assert (picture.width, picture.height) == (expected, expected)
        assert Image.open(io.BytesIO(base64.b64decode(picture.base64))).size == (expected, expected)


def test_the_budget_is_on_the_base64():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8))
    assert len(to_picture(noise).base64) > 100_000
    assert len(to_picture(noise, max_base64=100_000).base64) <= 100_000


def test_the_same_pixels_give_the_same_bytes():
    assert to_picture(draw("red", 1)) == to_picture(draw("red", 1))


def test_a_picture_tells_what_else_it_holds_and_shrinks_without_it():
    exif = Image.Exif()
    exif[0x010E] = "where-i-live"
    file = io.BytesIO()
    draw("red", 1, 64).save(file, "JPEG", exif=exif, comment=b"c", icc_profile=b"p")
    picture = Picture(file.getvalue(), 64, 64)
    assert {"comment", "exif", "icc_profile"} <= set(picture.metadata)
    assert picture.within(64) is picture
    smaller = picture.within(32)
    assert (smaller.width, smaller.height, smaller.metadata) == (32, 32, [])


def test_nothing_but_pixels_is_sent():
    exif = Image.Exif()
    exif[0x010E] = "where-i-live"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "who-i-am")
    for form, extra, inside in (
        ("JPEG", {"comment": b"what-i-said", "icc_profile": b"my-screen"}, 3),
        ("PNG", {"pnginfo": text, "icc_profile": b"my-screen"}, 2),  # the profile is compressed
        ("WEBP", {"xmp": b"what-i-said", "icc_profile": b"my-screen"}, 3),
    ):
        file = io.BytesIO()
        draw("red", 1, 64).save(file, form, exif=exif, **extra)
        secrets = (b"where-i-live", b"who-i-am", b"what-i-said", b"my-screen")
        assert sum(secret in file.getvalue() for secret in secrets) == inside
        sent = to_picture(Image.open(file).convert("RGB")).jpeg
        assert not any(secret in sent for secret in (*secrets, b"Exif", b"ICC_PROFILE"))
