"""A small data set of drawings, and runs of it."""

import pytest

from rar_agent.evaluation.dataset import DataSet, LabelledImage
from rar_agent.types import Category
from tests.conftest import COLOURS, draw


@pytest.fixture(scope="package")
def drawings(tmp_path_factory):
    """Six categories, of 8 to learn from and 6 to test on; colours are easy to mistake in some."""
    folder = tmp_path_factory.mktemp("drawings")
    images = {"train": [], "test": []}
    for position, colour in enumerate(COLOURS):
        for part, count in (("train", 8), ("test", 6)):
            for number in range(count):
                key = f"{part}/{colour}/{number}.png"
                file = folder / key
                file.parent.mkdir(parents=True, exist_ok=True)
                draw(colour, 1_000 * (part == "test") + 10 * position + number).save(file)
                images[part].append(LabelledImage(key, file, position))
    return DataSet(
        "drawings",
        "Drawings",
        "coloured discs",
        [Category(name=f"{colour} discs") for colour in COLOURS],
        images["train"],
        images["test"],
        checksum="drawings-1",
    )
