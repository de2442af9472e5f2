"""CoOp's split files, and files of few-shot draws."""

import json
import pickle
from pathlib import Path

import pytest

from rar_agent.errors import DamagedDataError, InputError
from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.evaluation.datasets import load_card, load_dataset, read_shots
from rar_agent.evaluation.datasets.check import digest
from rar_agent.evaluation.datasets.coop import read_split
from tests.evaluation.datasets.conftest import paint

ROWS = {
    "train": [["b/1.jpg", 1, "wild_cat"], ["a/1.jpg", 0, "ant"], ["a/2.jpg", 0, "ant"]],
    "val": [["a/3.jpg", 0, "ant"]],
    "test": [["b/2.jpg", 1, "wild_cat"]],
}
CARD = {"loader": "coop", "split": "split.json", "images": ["jpg", "other/jpg"], "folder": "set"}


def lay(place, rows=ROWS, images="jpg"):
    folder = place / "set"
    folder.mkdir(exist_ok=True)
    (folder / "split.json").write_text(json.dumps(rows))
    for number, row in enumerate(row for part in ROWS.values() for row in part):
        paint(folder / images / row[0], (number, 0, 0))
    return folder


@pytest.mark.parametrize("images", ["jpg", "other/jpg"])
def test_a_split_is_read_in_its_order(at, place, images):
    folder = lay(place, images=images)
    data = load_dataset(CARD, at)
    assert [category.name for category in data.categories] == ["ant", "wild cat"]
    assert [(image.key, image.category) for image in data.train] == [
        ("b/1.jpg", 1),
        ("a/1.jpg", 0),
        ("a/2.jpg", 0),
    ]
    assert data.test[0].file == folder / images / "b/2.jpg"
    counts = {"train": 3, "validation": 2}
    with pytest.raises(DamagedDataError, match="1 validation instead of 2"):
        load_dataset({**CARD, "counts": counts}, at)


def test_a_lost_image_is_told_at_once(at, place):
    (lay(place) / "jpg" / "b" / "2.jpg").unlink()
    with pytest.raises(DamagedDataError, match=r"lacks 1 of the 1 images in test: .*b/2\.jpg"):
        load_dataset(CARD, at)


def test_an_image_in_both_parts_is_told(at, place):
    lay(place, {**ROWS, "test": [["a/1.jpg", 0, "ant"]]})
    with pytest.raises(DamagedDataError, match=r"1 images in train and in test: 'a/1\.jpg'"):
        load_dataset(CARD, at)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("[", "Expecting"),
        ([], "dictionary"),
        ({"train": [["a.jpg", "x", "ant"]]}, "integer"),
        ({"train": [["a.jpg", 0, "ant"], ["b.jpg", 0, "bee"]]}, "'ant' and 'bee'"),
        ({"train": [["a.jpg", 1, "ant"]]}, "not numbered from 0"),
        ({"train": [["../a.jpg", 0, "ant"]]}, "leads out"),
        ({"train": [["/a.jpg", 0, "ant"]]}, "leads out"),
    ],
)
def test_what_is_no_split(tmp_path, rows, reason):
    file = tmp_path / "split.json"
    file.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    with pytest.raises(DamagedDataError, match=reason):
        read_split(file)


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "card"),
    [
        ("Caltech101", "caltech101"),
        ("DescribableTextures", "dtd"),
        ("EuroSAT", "eurosat"),
        ("OxfordFlowers", "flowers102"),
        ("OxfordPets", "oxford_pets"),
        ("StanfordCars", "stanford_cars"),
        ("UCF101", "ucf101"),
    ],
)
def test_published_splits_are_as_their_cards_say(data, tmp_path, file, card):
    rows, names = read_split(data / "protocols" / f"split_zhou_{file}.json")
    card = load_card(card, tmp_path)
    assert card.source.split == f"split_zhou_{file}.json"
    there = {"train": len(rows["train"]), "validation": len(rows["val"]), "test": len(rows["test"])}
    assert {"categories": len(names), **there} == card.counts.model_dump()
    assert digest(name.replace("_", " ") for name in names) == card.classes
    paths = [path for part in rows.values() for path, _, _ in part]
    assert len(paths) == len(set(paths))


# files of few-shot draws

TRAIN = [LabelledImage(path, Path(path), label) for path, label, _ in ROWS["train"]]


@pytest.mark.parametrize(
    "data",
    [
        {"train": [["a/2.jpg", 0, "ant"], ["b/1.jpg", 1, "wild_cat"]]},
        {"train": {"data": [{"impath": "/data/x/a/2.jpg"}, {"impath": "./b/1.jpg"}]}},
        [["a/2.jpg", 0, "ant"], ["b/1.jpg", 1, "wild_cat"]],
    ],
)
def test_a_published_draw_is_read(tmp_path, data):
    file = tmp_path / "shot_1-seed_1.json"
    file.write_text(json.dumps(data))
    assert [image.key for image in read_shots(file, TRAIN)] == ["a/2.jpg", "b/1.jpg"]


class Boom:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_a_pickle_is_never_opened(tmp_path):
    file = tmp_path / "shot_1-seed_1.pkl"
    file.write_bytes(pickle.dumps(Boom()))
    with pytest.raises(InputError, match=r"is a pickle.*JSON"):
        read_shots(file, TRAIN)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"train": [["z.jpg", 0, "ant"]]}, "'z.jpg' is not an image of train"),
        ({"train": 3}, "no list"),
        ({}, "no list"),
        ([[]], "names no image"),
        ([3], "names no image"),
    ],
)
def test_what_is_no_draw(tmp_path, data, reason):
    file = tmp_path / "shots.json"
    file.write_text(json.dumps(data))
    with pytest.raises(DamagedDataError, match=reason):
        read_shots(file, TRAIN)
