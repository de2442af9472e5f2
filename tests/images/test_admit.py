import base64
import io
import os
import zlib

import numpy as np
import pytest
from PIL import Image

from rar_agent.errors import ImageError
from rar_agent.images import Limits, Policy, admit
from tests.conftest import draw

PICTURE = draw("red", 1)


def png(image=PICTURE, **options):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def sources(tmp_path):
    data = png()
    path = tmp_path / "a.png"
    path.write_bytes(data)
    encoded = base64.b64encode(data).decode()
    return {
        "path": path,
        "str path": str(path),
        "bytes": data,
        "file object": io.BytesIO(data),
        "open file": path.open("rb"),
        "data URI": f"data:image/png;base64,{encoded}",
        "base64": encoded,
        "wrapped base64": "\n".join(encoded[i : i + 76] for i in range(0, len(encoded), 76)),
        "PIL": PICTURE,
        "array": np.asarray(PICTURE),
    }


def test_every_source_gives_the_same_pixels(tmp_path):
    for kind, source in sources(tmp_path).items():
        assert np.array_equal(np.asarray(admit(source).rgb), np.asarray(PICTURE)), kind


def test_encoded_sources_share_a_hash_and_pixels_share_another(tmp_path):
    hashes = {kind: admit(source).sha256 for kind, source in sources(tmp_path).items()}
    pixels = {hashes.pop("PIL"), hashes.pop("array")}
    assert len(set(hashes.values())) == 1
    assert len(pixels) == 1


def test_names_never_hold_image_data(tmp_path):
    for kind, source in sources(tmp_path).items():
        assert len(admit(source).name) < 330, kind


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"", "0 bytes"),
        (b"<html>not an image</html>", "allowed format"),
        (png()[:200], "truncated"),
        ("missing.png", "is not a file"),
        (".", "is a folder"),
        ("data:image/png;base64", "without data"),
        ("data:image/png;base64,@@@@", "not valid base64"),
        (np.zeros((4, 4), np.uint8), "(4, 4)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), "(0, 4, 3)"),
        (io.StringIO("text"), "binary"),
        (3.5, "float"),
        ("https://example.com/a.png", "RAR_ALLOW_URLS"),
        ("a\0b", "neither"),
        ("x" * 300, "no usable path"),
        ("\ud800.jpg", "no usable path"),
        ("~nosuchuser/x.png", "no usable path"),
    ],
)
def test_anything_else_is_one_clear_error(source, says):
    with pytest.raises(ImageError) as error:
        admit(source)
    assert says in str(error.value)


def test_a_loop_of_links_is_no_path(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ImageError):
        admit(tmp_path / "loop" / "x.png")


def test_a_fifo_is_refused_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "fifo.png")
    with pytest.raises(ImageError, match="is not a file"):
        admit(tmp_path / "fifo.png")


def test_limits_name_the_input_and_the_limit(tmp_path):
    path = tmp_path / "big.png"
    path.write_bytes(png())
    for limits, says in [
        (Limits(max_bytes=100), "100"),
        (Limits(max_pixels=96 * 96 - 1), "9,215"),
    ]:
        with pytest.raises(ImageError) as error:
            admit(path, Policy(limits=limits))
        assert "big.png" in str(error.value)
        assert says in str(error.value)
    admit(path, Policy(limits=Limits(max_pixels=96 * 96)))


def test_pixels_are_checked_before_decoding():
    # A header that promises 50,000 x 50,000 pixels, and no pixels: decoding would fail otherwise.
    bomb = bytearray(png())
    bomb[16:24] = (50_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    with pytest.raises(ImageError, match="pixels"):
        admit(bytes(bomb))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_frames_are_limited(kind):
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), (i * 40, 0, 0)) for i in range(5)]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    assert admit(buffer.getvalue(), Policy(limits=Limits(max_frames=5))).rgb.size == (16, 16)
    with pytest.raises(ImageError, match="more than 4 frames"):
        admit(buffer.getvalue(), Policy(limits=Limits(max_frames=4)))


def test_other_formats_are_not_even_parsed():
    for kind in ("PPM", "ICO", "TGA", "PCX"):
        buffer = io.BytesIO()
        PICTURE.save(buffer, kind)
        with pytest.raises(ImageError, match="allowed format"):
            admit(buffer.getvalue())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_allowed_formats_and_their_base64(kind):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(buffer, kind)
    for source in (buffer.getvalue(), base64.b64encode(buffer.getvalue()).decode()):
        assert admit(source).rgb.size == (64, 64)
