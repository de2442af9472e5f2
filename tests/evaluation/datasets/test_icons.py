"""Icons, drawn with distortions."""

import numpy as np
import pytest
from PIL import Image

from rar_agent.errors import ConfigurationError
from rar_agent.evaluation.datasets import find_copies, load_card, load_dataset
from rar_agent.evaluation.datasets import icons as module
from rar_agent.evaluation.datasets.icons import SIDE, draw

mdi = pytest.importorskip("fonticon_mdi7", reason="needs the extra eval")
SPEC = {"loader": "icons", "names": ["cat", "dog", "anchor"], "train": 2, "test": 1}


def glyph(name):
    return getattr(mdi.MDI7, name).rpartition(".")[2]


def test_they_are_drawn_once(at):
    data = load_dataset(SPEC, at)
    assert (len(data.train), len(data.test)) == (6, 3)
    assert data.train[0].key == "train/cat/0.png"
    stamps = [image.file.stat().st_mtime_ns for image in data.train]
    assert load_dataset(SPEC, at).checksum == data.checksum
    assert [image.file.stat().st_mtime_ns for image in data.train] == stamps
    assert find_copies(data) == []


def test_a_seed_decides_every_pixel():
    first, again, other = (
        np.asarray(draw(glyph("cat"), mdi.MDI7.__font_file__, seed)) for seed in "aab"
    )
    assert first.shape == (SIDE, SIDE, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("seed", [f"{i}" for i in range(8)])
def test_the_icon_can_be_seen(seed):
    """What is inside differs from the margin far more than the margin in itself."""
    pixels = np.asarray(draw(glyph("anchor"), mdi.MDI7.__font_file__, seed).convert("L"), float)
    smooth = np.asarray(Image.fromarray(pixels.astype(np.uint8)).resize((28, 28)), float)
    assert np.ptp(smooth) > 50


def test_all_icons_of_the_card_are_in_the_package(at):
    for name in load_card("icons", at.home).source.names:
        assert len(glyph(name)) == 1


def test_an_icon_that_is_not_there(at):
    with pytest.raises(ConfigurationError, match="no icon gryphon"):
        load_dataset({**SPEC, "names": ["cat", "gryphon"]}, at)


def test_without_the_package_it_says_what_to_install(at, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rar-agent\[eval\]'"):
        load_dataset("icons", at)
