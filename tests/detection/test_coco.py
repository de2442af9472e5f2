"""COCO's formats: boxes are found by image, and results are what the official tools take."""

import contextlib
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.detection import Proposal
from rar_agent.detection.coco import read_coco, to_results
from rar_agent.errors import InputError, NotFoundError
from rar_agent.types import (
    Category,
    Detection,
    Detections,
    Failure,
    RankedCategory,
    Recognition,
    Trace,
)

TRACE = Trace(
    memory="m",
    generation=1,
    encoder="e",
    device="cpu",
    precision="fp32",
    method="gda",
    calibrated=False,
    probability_means="x",
    ranker="retrieval",
)


def detection(box, probabilities, box_score=None, decision="accepted"):
    categories = tuple(
        RankedCategory(
            category=Category(name=name),
            probability=probability,
            retrieval_probability=probability,
            evidence=("text",),
        )
        for name, probability in probabilities.items()
    )
    recognition = Recognition(
        image="0" * 64, source="a.jpg", decision=decision, categories=categories, trace=TRACE
    )
    return Detection(box=box, box_score=box_score, recognition=recognition)


def detections(*found, width=100, height=80):
    return Detections(image="0" * 64, source="a.jpg", width=width, height=height, detections=found)


@pytest.fixture
def write(tmp_path):
    def write(found, name="boxes.json"):
        (tmp_path / name).write_text(found if isinstance(found, str) else json.dumps(found))
        return tmp_path / name

    return write


def annotation(number, image, box=(1, 2, 3, 4), category=1, **more):
    return {"id": number, "image_id": image, "bbox": box, "category_id": category, **more}


FILE = {
    "images": [
        {"id": 139, "file_name": "a/1.jpg"},
        {"id": 5, "file_name": "b/1.jpg"},
        {"id": 6, "file_name": "b/2.jpg"},
        {"id": 7, "coco_url": "http://images.cocodataset.org/val2017/000000000007.jpg"},  # LVIS
        {"id": 8, "file_name": "x/a/1.jpg"},
    ],
    "categories": [{"id": 1, "name": "dog"}, {"id": 3, "name": "cat"}],
    "annotations": [
        annotation(11, 139, iscrowd=0),
        annotation(12, 7, (0.5, 0.25, 10.125, 7), 3),
        annotation(13, 139, (-5, 0, 400, 9), 3),
        annotation(14, 139, iscrowd=1),
        annotation(15, 139, (3, 3, 0, 5)),
    ],
}


def test_annotations(write):
    found = read_coco(write(FILE))
    assert found.boxes == {
        139: (
            Proposal((1.0, 2.0, 3.0, 4.0), name="dog", id="11"),
            Proposal((-5.0, 0.0, 400.0, 9.0), name="cat", id="13"),
        ),
        7: (Proposal((0.5, 0.25, 10.125, 7.0), name="cat", id="12"),),
    }
    assert found.left_out == 2
    assert found.categories == {1: "dog", 3: "cat"}
    assert found.images[7] == "val2017/000000000007.jpg"


@pytest.mark.parametrize(
    ("image", "number"),
    [
        (139, 139),
        ("a/1.jpg", 139),  # as the file has it, though another ends so
        ("/data/b/1.jpg", 5),
        ("2.jpg", 6),
        ("/elsewhere/2.jpg", 6),  # the only one of its name
        ("/coco/val2017/000000000007.jpg", 7),
        ("000000000007.jpg", 7),
        ("x/a/1.jpg", 8),
    ],
)
def test_images_are_found(write, tmp_path, image, number):
    found = read_coco(write(FILE))
    assert found.id_of(image) == number
    assert found.of(image) == list(found.boxes.get(number, ()))
    if isinstance(image, str):
        assert found.id_of(tmp_path / image) == found.id_of(str(tmp_path / image))


def test_images_that_are_not_one(write):
    found = read_coco(write(FILE))
    with pytest.raises(InputError, match=r"has 3 images '1\.jpg', such as 'a/1\.jpg'"):
        found.of("1.jpg")
    with pytest.raises(NotFoundError, match=r"no image '3\.jpg' among its 5.*such as 'a/1\.jpg'"):
        found.of("3.jpg")
    with pytest.raises(NotFoundError, match="no image '4'"):
        found.of(4)


RESULTS = [
    {"image_id": 139, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.25},
    {"image_id": 139, "category_id": 1, "bbox": [1, 2, 3, 5], "score": 0.5},
]


def test_results_alone_are_found_by_number(write):
    found = read_coco(write(RESULTS))
    boxes = [Proposal((1.0, 2.0, 3.0, 4.0), 0.25), Proposal((1.0, 2.0, 3.0, 5.0), 0.5)]
    assert found.of("val2017/000000000139.jpg") == found.of(139) == boxes
    assert found.of("000000000140.jpg") == []  # the detector found nothing there
    with pytest.raises(NotFoundError, match=r"no image 'a\.jpg' among its 1\. Give its id"):
        found.of("a.jpg")


@pytest.mark.parametrize(
    ("number", "image"),
    [
        ("1", "000000000001.jpg"),
        ("000000000001", "1.jpg"),
        (1, "x/000000000001.jpg"),
        ("a", "x/a.jpg"),  # what Ultralytics writes
        ("007", "x/007.jpg"),
    ],
)
def test_results_are_found_however_their_ids_are_written(write, number, image):
    found = read_coco(write([{**RESULTS[0], "image_id": number}]))
    assert found.of(image) == [Proposal((1.0, 2.0, 3.0, 4.0), 0.25)]
    assert found.id_of(image) == number


def test_ids_of_results_may_be_written_otherwise_than_in_the_list(write):
    rows = [{**row, "image_id": "139"} for row in RESULTS]
    found = read_coco(write(rows), write(FILE, "list.json"))
    assert found.id_of("a/1.jpg") == 139
    assert len(found.of("a/1.jpg")) == 2
    with pytest.raises(InputError, match=r"list\.json' has no image 'z\.jpg'"):
        found.of("z.jpg")
    with pytest.raises(InputError, match=r"boxes of image x, which '.*list\.json' does not list"):
        read_coco(write([{**RESULTS[0], "image_id": "x"}]), write(FILE, "list.json"))


def test_sizes_of_images(write):
    sizes = [{"width": 30, "height": 20}, {"width": 30}, {}, {"width": None, "height": "20"}]
    images = [{"id": at, "file_name": f"{at}.jpg", **size} for at, size in enumerate(sizes)]
    found = read_coco(write({**FILE, "images": images, "annotations": []}))
    assert found.sizes == {0: (30, 20)}


def test_results_with_names(write):
    listed = {key: FILE[key] for key in ("images", "categories")}  # of a test set: images alone
    found = read_coco(write(RESULTS), write(listed, "images.json"))
    assert [one.name for one in found.of("a/1.jpg")] == ["cat", "dog"]
    assert found.of("b/1.jpg") == []


def test_nothing_in_it(write):
    assert read_coco(write([])).boxes == {}
    assert read_coco(write({**FILE, "annotations": []})).of("2.jpg") == []


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("{", "boxes.json' cannot be read"),
        ("7", "not in COCO's format"),
        ({"images": [], "categories": []}, "not in COCO's format: it has no list of annotations"),
        ([[1, 2, 3, 4]], r"not in COCO's format: result \[1, 2, 3, 4\] has no bbox"),
        ([{"image_id": 1, "score": 0.5}], "not in COCO's format: result {.*} has no bbox"),
        ([{"bbox": [1, 2, 3, 4]}], "not in COCO's format: result {.*} has no image_id"),
        ([{"image_id": 1, "bbox": [1, 2, "3", "4"]}], "Box 1 of 1, .*, is not four numbers"),
        ([{"image_id": 1, "bbox": None}], r"Box 1 of 1, \[\], has 0 numbers"),
        ("[" * 100_000, "cannot be read"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 3}], "boxes.json': The score of box 1"),
        ('[{"image_id": 1, "bbox": [NaN, 2, 3, 4]}]', "boxes.json': Box 1 of 1.*not finite"),
        ({**FILE, "annotations": [annotation(1, 99)]}, "boxes of image 99, which is not listed"),
        ({**FILE, "images": [{"id": 1}]}, "image {'id': 1} has neither file_name nor coco_url"),
        (
            {**FILE, "annotations": [*FILE["annotations"], annotation(77, 7, (1, 2, 3))]},
            r"boxes.json': Box 6 of 6 \(id 77\), \[1, 2, 3\], has 3 numbers",
        ),
    ],
)
def test_other_files(write, found, message):
    with pytest.raises(InputError, match=message):
        read_coco(write(found))


def test_no_file(tmp_path):
    with pytest.raises(InputError, match=r"no\.json' cannot be read"):
        read_coco(tmp_path / "no.json")


def test_results_are_fused_sorted_and_limited():
    found = detections(
        detection((1.123456789, 2, 3, 4), {"dog": 0.5, "cat": 0.25}, 0.5),
        detection((5, 6, 7, 8), {"cat": 0.2, "dog": 0.1}, None, "abstained"),
        Detection(box=(0, 0, 1, 1), failure=Failure(source="a", error="x", kind="ImageError")),
    )
    results = to_results(found, 139, {"dog": 1, "cat": 3})
    assert [(one["score"], one["category_id"]) for one in results] == [
        (0.25, 1),
        (0.2, 3),
        (0.125, 3),
        (0.1, 1),
    ]
    assert results[0] == {
        "image_id": 139,
        "category_id": 1,
        "bbox": [1.123456789, 2, 3, 4],
        "score": 0.25,
    }
    assert to_results(found, 139, {"dog": 1, "cat": 3}, limit=2) == results[:2]
    assert to_results(found, 139, {"dog": 1, "cat": 3}, weight=0)[0]["score"] == 0.5
    assert {one["category_id"] for one in to_results(found, 139, {"dog": 1, "cat": None})} == {1}
    assert to_results(detections(), 139, {}) == []
    with pytest.raises(InputError, match="'cat' has no id among the 1"):
        to_results(found, 139, {"dog": 1})
    with pytest.raises(InputError, match="0 is no number of results"):
        to_results(found, 139, {"dog": 1, "cat": 3}, limit=0)


NAMES = [f"category {at}" for at in range(12)]
SHARE = st.floats(0, 1)
FOUND = st.builds(
    detection,
    st.tuples(st.floats(-50, 99), st.floats(-50, 79), st.floats(0.1, 90), st.floats(0.1, 90)),
    st.dictionaries(st.sampled_from(NAMES), SHARE, min_size=1, max_size=5),
    st.none() | SHARE,
)


@given(st.lists(FOUND, min_size=1, max_size=12), st.integers(1, 40))
def test_pycocotools_takes_what_is_written(found, limit):
    coco = pytest.importorskip("pycocotools.coco", reason="needs the extra eval")
    numbers = {name: at for at, name in enumerate(NAMES, 1)}
    results = to_results(detections(*found), 139, numbers, limit)
    assert len(results) == min(limit, sum(len(one.recognition.categories) for one in found))
    scores = [one["score"] for one in results]
    assert scores == sorted(scores, reverse=True)
    with contextlib.redirect_stdout(io.StringIO()):
        gold = coco.COCO()
        gold.dataset = {
            "info": {},
            "images": [{"id": 139, "width": 100, "height": 80}],
            "annotations": [],
            "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        }
        gold.createIndex()
        loaded = gold.loadRes(json.loads(json.dumps(results)))
    assert [one["score"] for one in loaded.dataset["annotations"]] == scores
    assert [one["bbox"] for one in loaded.dataset["annotations"]] == [
        one["bbox"] for one in results
    ]


@pytest.mark.data
def test_the_truth_as_results_has_a_precision_of_1(data, tmp_path):
    coco = pytest.importorskip("pycocotools.coco", reason="needs the extra eval")
    from pycocotools.cocoeval import COCOeval

    file = data / "coco128" / "instances.json"
    found = read_coco(file)
    assert sum(map(len, found.boxes.values())) == 929
    numbers = {name: number for number, name in found.categories.items()}
    results = [
        result
        for image, boxes in found.boxes.items()
        for result in to_results(
            detections(*(detection(one.box, {one.name: 0.5}) for one in boxes)), image, numbers
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        gold = coco.COCO(str(file))
        evaluation = COCOeval(gold, gold.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)
    (tmp_path / "results.json").write_text(json.dumps(results))
    again = read_coco(tmp_path / "results.json", file)
    for image, path in found.images.items():
        assert sorted((one.box, one.name) for one in again.of(path)) == sorted(
            (one.box, one.name) for one in found.of(image)
        )


def test_a_path_may_be_a_string(tmp_path):
    file = tmp_path / "boxes.json"
    file.write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.jpg"}],
                "categories": [],
                "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
            }
        )
    )
    assert read_coco(str(file)).of(1)[0].box == (1, 2, 3, 4)
