"""Images that were made to hurt, given to a command: one error, and no warnings of Pillow's."""

import warnings

import pytest

from tests.images.hostile_png import END, SIGNATURE, chunk, header
from tests.images.hostile_tiff import grey, tiff

FILES = {
    "bomb.png": SIGNATURE + header(12_000, 12_000) + chunk(b"IDAT", b"") + END,
    "damaged.tiff": tiff((grey(8_000, 8_000, (270, 2, 2**31, 8)), 2**31)),
    "samples.tiff": tiff((grey(8, 8, (277, 3, 1, 1_000)), 0), after=bytes(9_000)),
}


@pytest.mark.parametrize("name", FILES)
def test_what_a_command_says(rar, tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # as Python's own, which pytest records
        warnings.showwarning = lambda message, *_: pytest.fail(str(message))
        ran = rar("prompts", "render", "rank@1", "--image", tmp_path / name)
    assert ran.status == 2
    assert ran.err.startswith("error: ")
    assert len(ran.err.strip().splitlines()) == 2
