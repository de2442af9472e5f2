"""A memory of an open_clip encoder: the manifest decides which one is loaded again."""

import shutil

import pytest

from rar_agent import Recognizer
from rar_agent.encoders import load, load_encoder
from rar_agent.errors import ConfigurationError, FingerprintMismatchError, RarError
from rar_agent.memory import create_memory, read_folder
from rar_agent.settings import load_settings
from rar_agent.types import Category
from tests.conftest import draw
from tests.encoders.test_open_clip import make_folder


@pytest.fixture
def place(tmp_path, discs, monkeypatch):
    make_folder(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    encoder = load_encoder("open_clip:tiny", load_settings(device="cpu"))
    names = [Category(name="tabby cat")]
    memory = create_memory(tmp_path, "tiny", encoder, read_folder(discs), names).memory
    # open_clip's texts are good enough to be used unasked.
    assert all("text" in memory.evidence(column) for column in range(7))
    return tmp_path


@pytest.fixture
def another_process(monkeypatch):
    """Nothing is loaded in it yet."""
    for kept in ("_plain", "_loaded"):
        monkeypatch.setattr(load, kept, {})


def test_recognize_loads_the_memorys_own_encoder_from_anywhere(place, monkeypatch):
    monkeypatch.chdir("/")
    found = Recognizer("tiny", home=place, device="cpu").recognize(draw("red", 0))
    assert found.trace.encoder.startswith(f"open_clip:{place / 'tiny'} ")
    assert len(found.categories) == 5


def test_other_weights_in_its_place_are_refused(place, another_process):
    shutil.rmtree(place / "tiny")
    make_folder(place / "tiny", seed=1)
    with pytest.raises(FingerprintMismatchError, match="weights"):
        Recognizer("tiny", home=place, device="cpu").recognize(draw("red", 0))


def test_a_folder_that_has_gone_says_so(place, another_process):
    shutil.rmtree(place / "tiny")
    with pytest.raises(RarError) as error:
        Recognizer("tiny", home=place, device="cpu").recognize(draw("red", 0))
    assert str(place / "tiny") in str(error.value)
    assert not isinstance(error.value, ConfigurationError) or error.value.fix
