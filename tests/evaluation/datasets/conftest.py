import pytest
from PIL import Image

from rar_agent.settings import load_settings


def paint(file, colour=(1, 2, 3)):
    """A small image of one colour, in a folder that is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), tuple(colour)).save(file)
    return file


@pytest.fixture
def place(tmp_path):
    """Folder of data sets."""
    folder = tmp_path / "sets"
    folder.mkdir()
    return folder


@pytest.fixture
def at(place, tmp_path, monkeypatch):
    """Settings that look there and nowhere else."""
    monkeypatch.delenv("RAR_DATA", raising=False)
    return load_settings(home=tmp_path / "home", evals_data=place)


@pytest.fixture
def birds(place):
    """A folder of folders with both parts: robin and blue_tit, 3 + 2 images each."""
    folder = place / "birds"
    for c, name in enumerate(("robin", "blue_tit")):
        for part, count in (("train", 3), ("test", 2)):
            for i in range(count):
                paint(folder / part / name / f"{part}{i}.png", (c, i, part == "test"))
    return folder
