"""A calibrated memory whose categories look alike, so that retrieval errs."""

import json
from types import SimpleNamespace

import pytest
from PIL import Image

from rar_agent.finetune.export import Plan, export
from rar_agent.memory import SampleReader, create_memory, open_memory
from rar_agent.memory.readers import Sample
from rar_agent.settings import load_settings
from rar_agent.types import Category
from tests.memory.teaching.tiny import TinyEncoder, picture

CATEGORIES, EACH = 10, 12
# Names that a format or a trainer could trip over.
NAMES = ["<image>", 'the "B"', "A", "it's\u2028so", *(f"shade {c}" for c in range(4, CATEGORIES))]


def shade(category, seed):
    return picture(f"kind {category}", seed, noise=150).resize((72, 80), Image.Resampling.NEAREST)


@pytest.fixture(scope="session")
def shades(tmp_path_factory):
    """RAR_HOME with the memory `shades`, its files beside it."""
    home = tmp_path_factory.mktemp("finetune-home")
    samples = []
    for c, name in enumerate(NAMES):
        for i in range(EACH):
            path = home / "files" / f"{c}-{i}.png"
            path.parent.mkdir(exist_ok=True)
            shade(c, i).save(path)
            category = Category(name=name, description=f"About {10 * c} % grey.")
            samples.append(Sample(category, path, str(path)))
    create_memory(
        home, "shades", TinyEncoder(), SampleReader(samples), domain="shades", thumbnails=32
    )
    assert open_memory(home, "shades").calibrated
    return home


@pytest.fixture
def write(shades, tmp_path):
    """Exports; gives the folder, its manifest and the lines of both sides."""

    def run(name="out", plan=None, **settings):
        asked = {"home": shades, "memory": "shades", "device": "cpu", "ranker": "choice", "k": 4}
        folder = tmp_path / name
        made = export(load_settings(**{**asked, **settings}), Plan(**(plan or {})), folder)
        train, held = ([json.loads(x) for x in (folder / f"{side}.jsonl").open()] for side in SIDES)
        return SimpleNamespace(folder=folder, manifest=made, train=train, eval=held)

    return run


SIDES = ("train", "eval")
