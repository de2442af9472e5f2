"""What average precision is measured against, from a data set to a cell."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.errors import DamagedDataError
from rar_agent.evaluation.annotations import (
    ANNOTATIONS,
    against,
    federated,
    proposed,
    read_annotations,
    write_annotations,
)
from rar_agent.evaluation.record import Record


def around(**info):
    """Boxes 0 to 5 in images a, a, b, b, c, d; 1 is around a crowd."""
    images = [
        {"id": at, "file_name": f"{name}.jpg", "neg_category_ids": [5]}
        | ({"proposals": int(name in "ab")} if info else {})
        for at, name in enumerate("abcd", 1)
    ]
    return {
        "info": info or {"boxes": "given"},
        "images": images,
        "categories": [{"id": number, "name": str(number)} for number in range(1, 6)],
        "annotations": [
            {"id": at, "image_id": image, "category_id": of, "bbox": [0, 0, 9, 9], "area": 50}
            | {"iscrowd": int(at == 1)}
            for at, (image, of) in enumerate([(1, 1), (1, 1), (2, 2), (2, 3), (3, 4), (4, 1)])
        ],
    }


def asked(*samples):
    return [
        Record(cell="zero-shot", sample=one, truth="1", sha256="0", box=(0, 0, 9, 9), area=50)
        for one in samples
    ]


def test_of_given_boxes_those_that_have_an_answer():
    found = against(asked("a.jpg#0", "b.jpg#3"), around())
    assert [one["file_name"] for one in found["images"]] == ["a.jpg", "b.jpg"]
    there = [(one["id"], one["category_id"], one["iscrowd"]) for one in found["annotations"]]
    assert there == [(1, 1, 0), (2, 1, 1), (3, 3, 0)]  # from 1: 0 would be no match
    assert [one["neg_category_ids"] for one in found["images"]] == [[5], [2, 5]]
    assert federated(found)
    assert not proposed(found)


def test_of_proposed_boxes_all_that_is_in_their_images_and_where_nothing_was_proposed():
    every = around(boxes="proposed", nms=None)
    found = against(asked("b.jpg#p7"), every)
    assert [one["file_name"] for one in found["images"]] == ["b.jpg", "c.jpg", "d.jpg"]
    assert len(found["annotations"]) == 4
    assert proposed(found)


def test_a_folder_holds_what_belongs_to_its_images(tmp_path):
    write_annotations(tmp_path, {}, {"a.jpg"}, True)
    assert not (tmp_path / ANNOTATIONS).exists()
    assert read_annotations(tmp_path) == {}
    write_annotations(tmp_path, around(), {"a.jpg#0", "d.jpg#5"}, True)
    found = read_annotations(tmp_path)
    assert [one["file_name"] for one in found["images"]] == ["a.jpg", "d.jpg"]
    assert [one["id"] for one in found["annotations"]] == [0, 1, 5]
    every = around(boxes="proposed", nms=0.5)
    for whole, names in ((True, "acd"), (False, "a")):
        write_annotations(tmp_path, every, {"a.jpg#p1"}, whole)
        found = read_annotations(tmp_path)
        assert [one["file_name"] for one in found["images"]] == [f"{name}.jpg" for name in names]


@pytest.mark.parametrize(
    "text",
    ["[", "[]", '{"x": 1}', "[" * 100_000, json.dumps({**around(), "images": [{"id": 1}]})],
    ids=["cut off", "a list", "another", "deep", "without a path"],
)
def test_a_file_that_is_damaged_is_named(tmp_path, text):
    (tmp_path / ANNOTATIONS).write_text(text)
    with pytest.raises(DamagedDataError, match=r"annotations.json' cannot be read"):
        read_annotations(tmp_path)


KEYS = [f"{image}.jpg#{at}" for at, image in ((0, "a"), (2, "b"), (3, "b"), (4, "c"), (5, "d"))]


@given(st.sets(st.sampled_from(KEYS), min_size=1))
def test_nothing_is_lost_or_added(keys):
    found = against(asked(*sorted(keys)), around())
    assert json.loads(json.dumps(found)) == found
    assert sum(not one["iscrowd"] for one in found["annotations"]) == len(keys)
    names = {one["id"]: one["file_name"] for one in found["images"]}
    assert set(names.values()) == {key.partition("#")[0] for key in keys}
    assert [one["id"] for one in found["annotations"]] == list(
        range(1, len(found["annotations"]) + 1)
    )
    searched = {one["file_name"]: set(one["neg_category_ids"]) for one in found["images"]}
    there = {(names[one["image_id"]], one["category_id"]) for one in found["annotations"]}
    for image, of in (("b", 2), ("b", 3)):
        if f"{image}.jpg" in searched:  # looked for, whether it was asked about or not
            assert (f"{image}.jpg", of) in there or of in searched[f"{image}.jpg"]


def test_without_a_file_the_records_say_what_there_is():
    found = against(asked("a.jpg#0", "b.jpg#3"), {})
    assert [one["image_id"] for one in found["annotations"]] == [1, 2]
    assert [one["name"] for one in found["categories"]] == ["1"]
    assert found["annotations"][0]["area"] == 50
