"""Boxes in COCO's and LVIS's format, as images to recognise."""

import json

import pytest

from rar_agent.errors import DamagedDataError, InputError
from rar_agent.evaluation.cells import cells_of
from rar_agent.evaluation.datasets import load_dataset
from rar_agent.evaluation.suite import Suite
from rar_agent.settings import load_settings
from tests.conftest import draw

CATEGORIES = [
    {"id": 7, "name": "crab_(animal)", "synonyms": ["crab_(animal)", "sea_crab"], "def": "A crab.",
     "frequency": "r"},
    {"id": 3, "name": "mug", "frequency": "f"},
]  # fmt: skip


def box(number, image, category, bbox, **more):
    given = {"id": number, "image_id": image, "category_id": category, "bbox": bbox}
    return {**given, "area": 100.0, "iscrowd": 0, **more}


@pytest.fixture
def place(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / "val2017").mkdir(exist_ok=True)
        draw("red", 1).save(tmp_path / "val2017" / name)
    found = {
        "images": [
            {"id": 1, "file_name": "val2017/a.png"},
            {"id": 2, "coco_url": "http://images.cocodataset.org/val2017/b.png"},  # as LVIS
        ],
        "categories": CATEGORIES,
        "annotations": [
            box(12, 2, 3, [0, 0, 20, 10]),
            box(11, 1, 7, [5, 5, 40, 40]),
            box(13, 2, 3, [0, 0, 90, 90], iscrowd=1),
            box(14, 2, 3, [0, 0, 0, 10]),
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(found))
    return tmp_path


def load(place, **options):
    card = {"source": {"loader": "coco", **options}, "name": "boxes", "folder": str(place)}
    return load_dataset(card, load_settings(home=place / "home"))


def test_each_box_is_an_image(place):
    data = load(place)
    assert [category.name for category in data.categories] == ["mug", "crab (animal)"]
    crab = data.categories[1]
    assert (crab.aliases, crab.description) == (("sea crab",), "A crab.")
    assert data.rare == {1}
    first, second = data.test
    assert (first.key, first.box, first.category) == ("val2017/a.png#11", (5, 5, 40, 40), 1)
    assert (second.key, second.box, second.area) == ("val2017/b.png#12", (0, 0, 20, 10), 100)
    assert data.train == []


@pytest.mark.parametrize(
    "change",
    [{"annotations": {2: {"bbox": [0, 0, 80, 80]}}}, {"images": {0: {"neg_category_ids": [3]}}}],
)
def test_crowds_and_what_was_looked_for_decide_the_checksum(place, change):
    before, file = load(place).checksum, place / "instances.json"
    found = json.loads(file.read_text())
    for key, items in change.items():
        for at, more in items.items():
            found[key][at] |= more
    file.write_text(json.dumps(found))
    assert load(place).checksum != before


def test_what_is_learnt_is_of_other_images(place):
    data = load(place, test_share=0.5)
    assert len(data.train) == len(data.test) == 1
    assert data.train[0].file != data.test[0].file
    with pytest.raises(DamagedDataError, match="in train and in test"):
        load(place, train="instances.json")


def test_names_alone_where_nothing_is_learnt_from(place):
    data = load(place)
    with pytest.raises(InputError, match="nothing to learn from"):
        cells_of(Suite(name="x", dataset="x"), data)
    [cell] = cells_of(Suite(name="x", dataset="x", protocol={"kind": "zero-shot"}), data)
    assert len(cell.test) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"annotations": None}, "no annotations"),
        ({"annotations": [box(1, 9, 3, [0, 0, 1, 1])]}, "is of image 9, which is not there"),
        ({"annotations": [box(1, 1, 9, [0, 0, 1, 1])]}, "is of category 9, which is not there"),
        ({"annotations": [box(1, 1, [3], [0, 0, 1, 1])]}, "category_id"),
        ({"annotations": [box(1, 1, None, [0, 0, 1, 1], iscrowd=1)]}, "category_id"),
        ({"annotations": [{"id": 1, "image_id": 1, "category_id": 3, "iscrowd": 1}]}, "0.bbox"),
        ({"annotations": [box(1, 1, 3, "wide", iscrowd=1)]}, "0.bbox = wide"),
        ({"annotations": [box(1, 1, 3, ["0", "0", "1", "1"])]}, "0.bbox.0"),
        ({"annotations": [box(1, 1, 3, [0, 0, float("inf"), 1])]}, "0.bbox.2 = inf"),
        ({"annotations": [box(1, 1, 3, [0, 0, 1, 1], iscrowd="0")]}, "0.iscrowd"),
        ({"annotations": [box(1, 1, 3, [0, 0, 1, 1], area=float("nan"))]}, "0.area"),
        ({"annotations": [box(1, 1, 3, [0, 0, 1, 1]), box("2", 1, 3, [0, 0, 1, 1])]}, "are texts"),
        ({"annotations": ["a"]}, "annotations.0 = a"),
        ({"categories": ["a"]}, "categories.0 = a"),
        ({"categories": [{"name": "mug"}]}, "categories.0.id"),
        ({"categories": [{"id": 3}]}, "categories.0.name"),
        ({"categories": [*CATEGORIES, CATEGORIES[0]]}, "the category id 7 is there twice"),
        ({"categories": [*CATEGORIES, {"id": "9", "name": "x"}]}, "some are texts"),
        ({"categories": [{**CATEGORIES[0], "synonyms": None}]}, "synonyms"),
        ({"categories": [{**CATEGORIES[0], "name": "x" * 300}, CATEGORIES[1]]}, "cannot be taken"),
        (
            {"images": [{"id": 1, "file_name": "val2017/a.png"}] * 2},
            "the image id 1 is there twice",
        ),
        ({"images": [{"id": 1}, {"id": 2}]}, "neither file_name nor coco_url"),
        ({"images": {"a": 1}}, "images"),
        ({"annotations": [box(1, 1, 3, [0, 0, 1])]}, "cannot be read: "),
        ({"annotations": [box(1, 1, 3, [0, 0, "x", 1])]}, "cannot be read: "),
    ],
)
def test_files_that_are_damaged(place, change, says):
    file = place / "instances.json"
    found = {**json.loads(file.read_text()), **change}
    file.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))
    with pytest.raises(DamagedDataError, match=says):
        load(place)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"images": "\x00"}'])
def test_files_that_are_no_json(place, text):
    (place / "instances.json").write_text(text)
    with pytest.raises(DamagedDataError, match="cannot be read"):
        load(place)


def test_what_is_learnt_is_of_the_same_categories(place):
    found = json.loads((place / "instances.json").read_text())
    found["categories"].append({"id": 9, "name": "other"})
    found["annotations"] = [box(21, 1, 9, [0, 0, 9, 9])]
    (place / "train.json").write_text(json.dumps(found))
    with pytest.raises(DamagedDataError, match="of category 9, which the boxes to test on lack"):
        load(place, train="train.json")
