"""torchvision's loaders, on small data sets of their layout."""

import pytest

from rar_agent.errors import ConfigurationError, DamagedDataError
from rar_agent.evaluation.datasets import load_dataset, state_of
from rar_agent.evaluation.datasets.card import load_card
from tests.evaluation.datasets.conftest import paint

VARIANTS = ("707-320", "A300B4", "Cessna 172")


@pytest.fixture
def aircraft(place):
    """FGVC-Aircraft's layout: three variants, 2 train, 1 validation, 1 test each."""
    root = place / "fgvc_aircraft" / "fgvc-aircraft-2013b" / "data"
    root.mkdir(parents=True)
    (root / "variants.txt").write_text("\n".join(VARIANTS))
    number = 0
    for part, count in (("train", 2), ("val", 1), ("test", 1)):
        lines = []
        for variant in VARIANTS:
            for _ in range(count):
                paint(root / "images" / f"{number:07}.jpg", (number, 0, 0))
                lines.append(f"{number:07} {variant}")
                number += 1
        (root / f"images_variant_{part}.txt").write_text("\n".join(lines))
    return root


def test_official_splits_of_torchvision(aircraft, at):
    card = load_card("fgvc_aircraft", at.home)
    assert state_of(card, at).state == "ready"
    with pytest.raises(DamagedDataError, match="3 categories instead of 100, 6 train instead of 3"):
        load_dataset(card, at)
    counts = type(card.counts)(categories=3, train=6, validation=3, test=3)
    data = load_dataset(card.model_copy(update={"counts": counts}), at)
    assert tuple(category.name for category in data.categories) == VARIANTS
    assert [image.category for image in data.train] == [0, 0, 1, 1, 2, 2]
    assert data.test[0].key == "fgvc-aircraft-2013b/data/images/0000009.jpg"
    assert data.templates == ("a photo of a {}, a type of aircraft.",)


def test_arguments_that_it_does_not_take(aircraft, at):
    card = {"loader": "torchvision", "dataset": "FGVCAircraft", "folder": "fgvc_aircraft"}
    with pytest.raises(ConfigurationError, match=r"cannot be read with \{'split': 'best'\}"):
        load_dataset({**card, "test": {"split": "best"}}, at)
    with pytest.raises(ConfigurationError, match="Set options, train and test"):
        load_dataset({**card, "options": {"year": 2013}}, at)


def test_a_data_set_of_folders(place, at):
    for name in ("dog", "fox"):
        paint(place / "own" / name / "1.png")
    card = {"loader": "torchvision", "dataset": "ImageFolder", "folder": "own", "train": {}}
    with pytest.raises(DamagedDataError, match="2 images in train and in test"):
        load_dataset({**card, "test": {}}, at)


def test_a_name_that_torchvision_does_not_know(at):
    with pytest.raises(ConfigurationError, match="no data set 'Birds9000'"):
        load_dataset({"loader": "torchvision", "dataset": "Birds9000"}, at)
