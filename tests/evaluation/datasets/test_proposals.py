"""Boxes that a detector proposed, as images to recognise."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.errors import ConfigurationError, DamagedDataError, InputError
from rar_agent.evaluation.dataset import NOTHING, LabelledImage
from rar_agent.evaluation.datasets import load_dataset
from rar_agent.evaluation.datasets.proposals import overlaps
from rar_agent.evaluation.sampling import evenly
from rar_agent.settings import load_settings
from tests.conftest import draw

SIDES = st.tuples(*[st.integers(-9, 9)] * 2, *[st.integers(1, 12)] * 2)
PROPOSALS = [
    {"image_id": 2, "bbox": [50, 50, 20, 20], "score": 0.25},
    {"image_id": 1, "bbox": [6, 6, 40, 40], "score": 0.5, "category_id": 3},
    {"image_id": 1, "bbox": [5, 5, 40, 20], "score": 1.0000004},  # just half of it
    {"image_id": 1, "bbox": [5, 5, 40, 19.9]},
    {"image_id": 1, "bbox": [5, 5, 0, 20], "score": 0.9},
    {"image_id": 2, "bbox": [0, 0, 90, 90], "score": 0.1},
]


@pytest.fixture
def place(tmp_path):
    (tmp_path / "val").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        draw("red", 1).save(tmp_path / "val" / name)
    boxes = [
        (11, 1, 7, [5, 5, 40, 40], 0),
        (12, 2, 3, [0, 0, 20, 10], 0),
        (13, 2, 3, [0, 0, 90, 90], 1),
    ]
    found = {
        "images": [{"id": at, "file_name": f"val/{name}.png"} for at, name in enumerate("abc", 1)],
        "categories": [{"id": 7, "name": "crab_(animal)"}, {"id": 3, "name": "mug"}],
        "annotations": [
            {"id": one, "image_id": image, "category_id": of, "bbox": box, "iscrowd": crowd}
            for one, image, of, box, crowd in boxes
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(found))
    (tmp_path / "proposals.json").write_text(json.dumps(PROPOSALS))
    return tmp_path


def load(place, **options):
    source = {"loader": "coco", "proposals": "proposals.json", **options}
    card = {"source": source, "name": "boxes", "folder": str(place)}
    return load_dataset(card, load_settings(home=place / "home"))


def test_each_proposal_is_an_image_with_what_it_is_around(place):
    data = load(place, nms=0.5)
    assert [(one.key, one.category, one.score, data.truth(one)) for one in data.test] == [
        ("val/a.png#p2", 1, 0.5, "crab (animal)"),
        ("val/a.png#p3", 1, 1.0, "crab (animal)"),
        ("val/a.png#p4", NOTHING, None, ""),
        ("val/b.png#p1", NOTHING, 0.25, ""),
        ("val/b.png#p6", NOTHING, 0.1, ""),  # a crowd is not one of its category
    ]
    assert data.test[0].area == 1600
    assert data.annotations["info"] == {"boxes": "proposed", "nms": 0.5}
    assert [one["proposals"] for one in data.annotations["images"]] == [3, 2, 0]
    assert [one["name"] for one in data.annotations["categories"]] == ["mug", "crab (animal)"]
    assert [one["iscrowd"] for one in data.annotations["annotations"]] == [0, 0, 1]


def test_what_is_proposed_decides_the_checksum(place):
    before = load(place).checksum
    assert load(place, nms=0.5).checksum == before  # which only measures
    changed = [{**PROPOSALS[0], "score": 0.3}, *PROPOSALS[1:]]
    (place / "proposals.json").write_text(json.dumps(changed))
    assert load(place).checksum != before


def test_what_proposals_are_measured_against_decides_the_checksum(place):
    before = load(place).checksum
    file = place / "instances.json"
    found = json.loads(file.read_text())
    found["annotations"].append(
        {"id": 14, "image_id": 3, "category_id": 3, "bbox": [0, 0, 9, 9], "iscrowd": 0}
    )
    file.write_text(json.dumps(found))
    assert load(place).checksum != before  # though no proposal is around it


def test_learnt_from_are_given_boxes_of_other_images(place):
    data = load(place, test_share=0.5)
    [learnt] = data.train
    assert "#p" not in learnt.key
    assert learnt.file not in {one.file for one in data.test}
    assert {one["file_name"] for one in data.annotations["images"]} == {
        f"val/{name}.png" for name in "abc"
    } - {learnt.key.partition("#")[0]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_id": 9, "bbox": [0, 0, 1, 1]},
        {"image_id": 1, "bbox": [0, 0, 1]},
        {"image_id": 1, "bbox": [0, 0, float("inf"), 1]},
        {"image_id": 1, "bbox": [0, 0, 1, 1], "score": 3.5},
        {"image_id": 1},
        7,
    ],
)
def test_what_is_no_proposal_is_told_by_its_number(place, wrong):
    (place / "proposals.json").write_text(json.dumps([PROPOSALS[0], wrong]))
    with pytest.raises(DamagedDataError, match="number 2 is no proposal"):
        load(place)


def test_given_boxes_are_not_suppressed(place):
    with pytest.raises(InputError, match="nms is of proposals"):
        load(place, proposals="", nms=0.5)


def test_files_that_are_none(place):
    (place / "proposals.json").write_text('{"boxes": []}')
    with pytest.raises(DamagedDataError, match="no list of results"):
        load(place)
    with pytest.raises(ConfigurationError, match=r"there is no '.*gone.json'"):
        load(place, proposals="gone.json")


def test_a_limit_takes_whole_images(place):
    test = load(place).test
    a, b = ("a.png",) * 3, ("b.png",) * 2

    def drawn(limit):
        some = (evenly(test, limit, seed, by_image=True) for seed in range(9))
        return {tuple(one.file.name for one in boxes) for boxes in some}

    assert drawn(1) == drawn(3) == drawn(4) == {a, b}  # one at least, and none in part
    assert drawn(5) == {a + b}


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 45), st.integers(0, 5))
def test_a_larger_limit_draws_the_same_images_and_more(images, limit, seed):
    test = [
        LabelledImage(f"{image}#p{at}", Path(f"{image}"), NOTHING)
        for at, image in enumerate(images)
    ]
    fewer, more = (evenly(test, some, seed, by_image=True) for some in (limit, limit + 5))
    files = {one.file for one in fewer}
    assert fewer == [one for one in test if one.file in files]
    assert len(fewer) <= limit or len(files) == 1
    assert {one.key for one in fewer} <= {one.key for one in more}


@given(st.lists(SIDES, min_size=1, max_size=4), st.lists(SIDES, min_size=1, max_size=4))
def test_overlaps_are_those_of_whole_pixels(some, others):
    found = overlaps(np.array(some, float), np.array(others, float))
    for at, one in enumerate(some):
        for of, other in enumerate(others):
            a, b = (
                {
                    (x, y)
                    for x in range(box[0], box[0] + box[2])
                    for y in range(box[1], box[1] + box[3])
                }
                for box in (one, other)
            )
            assert found[at, of] == pytest.approx(len(a & b) / len(a | b))
