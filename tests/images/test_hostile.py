"""Any bytes: an image within the limits or our error, in this process and in one of its own."""

import signal
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rar_agent.errors import ImageError
from rar_agent.images import Isolation, Limits, Policy, admit
from rar_agent.images.decode import decode
from rar_agent.images.isolated import decode_under
from tests.images.hostile import catalogue, encoded, picture
from tests.images.hostile_exif import turned_exif
from tests.images.hostile_jpeg import jpeg, segment
from tests.images.hostile_png import chunk, png

LIMITS = Limits()
ISOLATED = Policy(isolation=Isolation(seconds=120))
MOST_MB = 2_500
"""Peak of a process that decodes, the largest images allowed among them."""

FILES = catalogue()


def outcome(make):
    """Size and checksum of an image within the limits, or the error's text."""
    try:
        image = make()
    except ImageError as error:
        return str(error)
    assert image.mode == "RGB"
    assert 0 < image.width * image.height <= LIMITS.max_pixels
    return *image.size, zlib.crc32(image.tobytes())


@pytest.fixture(autouse=True)
def no_hang():
    """A file that hangs is a failure, not a test that never ends."""

    def late(*_):
        pytest.fail("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(240)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_names_of_files_are_their_own():
    names = [one.name for one in FILES]
    assert len(set(names)) == len(names) > 200


SOME = [
    pytest.param(file, marks=[] if number % 3 == 0 else pytest.mark.long)
    for number, file in enumerate(FILES)
]
APART = FILES[::4]
"""Decoded in a process of their own too; `python -m fuzz.hostile` does so with all."""


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("file", SOME, ids=lambda one: one.name)
def test_hostile_files(file):
    data = file.make()
    here = outcome(lambda: decode(data, file.name, LIMITS))
    assert isinstance(here, tuple) == (file.expected == "image"), here
    assert file.reason in str(here)
    if file in APART:
        assert outcome(lambda: decode_under(data, file.name, ISOLATED)) == here


PEAK = """
import pathlib, re, resource, sys, warnings
warnings.simplefilter("ignore")
from rar_agent.errors import ImageError
from rar_agent.images import Limits
from rar_agent.images.decode import decode
from tests.images.hostile import catalogue
for file in catalogue():
    if file.name in sys.argv[1:]:
        data = file.make()
        try:
            decode(data, file.name, Limits())
        except ImageError:
            pass
status = pathlib.Path("/proc/self/status")
if status.is_file():  # what getrusage says on Linux began with the memory of who started this
    print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize(
    "name",
    [
        "JPEG of CMYK just within the limit, nearly empty",
        "progressive JPEG just within the limit, nearly empty",
        "WebP with a moving canvas just within the limit",
        "GIF just within the limit",
        "GIF with ten million comments of a byte",
        "JPEG with five million segments",
        "PNG with two million empty chunks",
        "TIFF with tiles of 32,768",
        "TIFF with tags that all claim the same 10 MB",
        "JPEG with an EXIF bomb",
        "PNG with an EXIF bomb",
        "WebP with an EXIF bomb",
    ],
)
def test_memory_is_bounded(name):
    told = subprocess.run(
        [sys.executable, "-c", PEAK, name],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert int(told.stdout) < MOST_MB * 1_000_000


def test_the_first_exif_of_a_jpeg_turns_it_and_no_other():
    """Pillow joins them."""
    mine, other = turned_exif(6), turned_exif(3)
    segments = [segment(0xE1, b"Exif\0\0" + exif) for exif in (mine, other, bytes(60_000))]
    assert decode(jpeg(*segments), "x", LIMITS).size == (16, 24)
    assert decode(jpeg(*segments[1:]), "x", LIMITS).size == (24, 16)


def test_a_long_exif_turns_an_image_too():
    exif = turned_exif(6) + bytes(200_000)
    for data in (png(chunk(b"eXIf", exif), size=(8, 16)), encoded(picture(), "WEBP", exif=exif)):
        image = decode(data, "x", LIMITS)
        assert image.size in ((16, 8), (16, 24))


BASES = {
    "PNG": encoded(picture(), "PNG"),
    "PNG of 16 bits": encoded(picture(mode="L").convert("I").convert("I;16"), "PNG"),
    "palette": encoded(picture(mode="P"), "PNG"),
    "JPEG": encoded(picture(), "JPEG"),
    "progressive": encoded(picture(), "JPEG", progressive=True),
    "CMYK": encoded(picture(mode="CMYK"), "JPEG"),
    "GIF": encoded(picture(), "GIF", save_all=True, append_images=[picture(mode="L")]),
    "TIFF": encoded(picture(), "TIFF"),
    "LZW": encoded(picture(), "TIFF", compression="tiff_lzw"),
    "JPEG in TIFF": encoded(picture(), "TIFF", compression="jpeg"),
    "WebP": encoded(picture(), "WEBP"),
    "lossless": encoded(picture(mode="RGBA"), "WEBP", lossless=True),
    "moving": encoded(picture(), "WEBP", save_all=True, append_images=[picture(mode="L")]),
    "BMP": encoded(picture(), "BMP"),
    "BMP of a palette": encoded(picture(mode="P"), "BMP"),
}


@st.composite
def mutated(draw):
    """A valid file of some format, changed in some of the ways that files are damaged."""
    data = bytearray(draw(st.sampled_from(sorted(BASES.values()))))
    for _ in range(draw(st.integers(1, 5))):
        if not data:
            break
        way = draw(st.sampled_from(["flip", "set", "word", "cut", "drop", "repeat", "splice"]))
        at = draw(st.integers(0, len(data) - 1))
        until = min(len(data), at + draw(st.integers(1, 200)))
        if way == "flip":
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif way == "set":
            data[at] = draw(st.integers(0, 255))
        elif way == "word":
            size = draw(st.sampled_from([2, 4]))
            value = draw(st.sampled_from([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1]))
            order = draw(st.sampled_from(["little", "big"]))
            data[at : at + size] = (value % 256**size).to_bytes(size, order)
        elif way == "cut":
            del data[at:]
        elif way == "drop":
            del data[at:until]
        elif way == "repeat":
            data[at:at] = data[at:until] * draw(st.integers(1, 20))
        else:
            other = draw(st.sampled_from(sorted(BASES.values())))
            data[at:until] = other[draw(st.integers(0, len(other) - 1)) :]
    return bytes(data)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=800)
@given(mutated(), st.sampled_from([0, 4, 260]))
def test_damaged_files(data, detail):
    here = outcome(lambda: decode(data, "damaged", LIMITS, detail))
    if len(data) % 8 == 0:
        assert outcome(lambda: decode_under(data, "damaged", ISOLATED, detail)) == here


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_that_are_given_as_a_source(data):
    outcome(lambda: admit(data).rgb)


def test_numbers_are_scaled_as_one_whatever_their_rows():
    values = np.arange(600 * 3, dtype=np.float32).reshape(600, 3)
    rgb = np.asarray(decode(encoded(Image.fromarray(values), "TIFF"), "x", LIMITS))
    assert rgb[:, :, 0].tolist() == (values.astype(float) / 1_799 * 255).round().tolist()
