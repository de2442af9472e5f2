"""Boxes in every form are the same boxes; what is none is refused, by number and value."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.detection import Proposal
from rar_agent.detection.boxes import read_boxes
from rar_agent.errors import InputError

SIZE = (640, 480)
BOX = (10.0, 20.0, 30.0, 40.0)
FORMS = {
    "xywh": BOX,
    "xyxy": (10, 20, 40, 60),
    "cxcywh": (25, 40, 30, 40),
    "xywh-relative": (10 / 640, 20 / 480, 30 / 640, 40 / 480),
    "xyxy-relative": (10 / 640, 20 / 480, 40 / 640, 60 / 480),
    "cxcywh-relative": (25 / 640, 40 / 480, 30 / 640, 40 / 480),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        iter,
        np.array,
        torch.tensor,
        lambda rows: torch.tensor(rows, requires_grad=True),
        lambda rows: [np.array(row) for row in rows],
        lambda rows: [{"box": row} for row in rows],
        lambda rows: [[Fraction(value) for value in row] for row in rows],
    ],
)
def test_every_form_and_container_gives_the_same(form, make):
    rows = [[float(value) for value in FORMS[form]]] * 2
    assert [one.box for one in read_boxes(make(rows), SIZE, form)] == [
        pytest.approx(BOX, rel=1e-5)
    ] * 2


@pytest.mark.parametrize(
    "none",
    [[], (), np.empty((0, 4)), np.empty(0), torch.empty(0, 4), {"boxes": []}, {"boxes": None}],
)
def test_none_at_all(none):
    assert read_boxes(none, SIZE) == []


PLACE, SIDE = st.floats(-2e3, 2e3), st.floats(1e-3, 2e3)
BOXES = st.lists(st.tuples(PLACE, PLACE, SIDE, SIDE), max_size=20)


@given(BOXES)
def test_boxes_in_pixels_are_kept_as_they_are_wherever_they_lie(boxes):
    size = (1, 1)  # where no box is too small to be in pixels
    assert [one.box for one in read_boxes(boxes, size)] == boxes
    again = read_boxes(np.array(boxes).reshape(-1, 4), size)
    assert read_boxes(again, size) == again


@given(BOXES, st.sampled_from(["xyxy", "cxcywh"]))
def test_a_form_is_read_as_it_was_written(boxes, form):
    def written(x, y, w, h):
        return (x, y, x + w, y + h) if form == "xyxy" else (x + w / 2, y + h / 2, w, h)

    found = read_boxes([written(*box) for box in boxes], (1, 1), form)
    assert [one.box for one in found] == [pytest.approx(box, abs=1e-9) for box in boxes]


ANY = st.one_of(
    st.floats(), st.integers(), st.text(max_size=3), st.none(), st.booleans(), st.just([])
)


@given(
    st.lists(
        st.one_of(
            st.lists(ANY, max_size=6),
            st.tuples(PLACE, PLACE, SIDE, SIDE),
            ANY,
            st.dictionaries(st.sampled_from(["box", "bbox", "score", "id"]), ANY),
        ),
        max_size=4,
    ),
    st.sampled_from(sorted(FORMS)),
)
def test_anything_is_read_or_refused(rows, form):
    try:
        found = read_boxes(rows, SIZE, form)
    except InputError:
        return
    assert len(found) == len(rows)
    for one in found:
        assert np.isfinite(one.box).all()
        assert min(one.box[2:]) > 0


@pytest.mark.parametrize(
    ("rows", "form", "message"),
    [
        ([BOX, (5, 5, 0, 5)], "xywh", r"Box 2 of 2, \[5.0, 5.0, 0.0, 5.0\], has no area, read as"),
        ([BOX, (5, 5, 5, -1)], "xywh", "Box 2 of 2.* say another form than xywh"),
        ([(40, 20, 10, 60)], "xyxy", "Box 1 of 1.* no area, read as left, top, right, bottom"),
        ([(1, 2, float("nan"), 4)], "xywh", r"Box 1 of 1, \[1.0, 2.0, nan, 4.0\], .* not finite"),
        ([(1, 2, 3, float("inf"))], "xyxy", "not finite"),
        ([(1, 2, 3, 10**400)], "xywh", "not finite"),
        ([(-1e308, 0, 1.5e308, 1)], "xyxy", "pixels away"),
        ([(0, 0, True, 1)], "xywh", "is not four numbers"),
        ([(1, 2, 3, "4")], "xywh", r"Box 1 of 1, \[1, 2, 3, '4'\], is not four numbers"),
        ([BOX, (1, 2, None, 4)], "xywh", "Box 2 of 2.* is not four numbers"),
        ([BOX, (1, 2, 3)], "xywh", "Box 2 of 2.* has 3 numbers"),
        (np.ones((3, 5)), "xywh", "has 5 numbers.*A score goes into a dict: box and score"),
        (BOX, "xywh", "Box 1 of 4, 10.0, is not four numbers. Put boxes in a list"),
        (np.ones((1, 3, 4)), "xywh", "Box 1 of 1.* has 3 numbers"),
        (["10,20,30,40"], "xywh", "Box 1 of 1, '10,20,30,40', is not four numbers"),
        ("boxes.json", "xywh", "'boxes.json' is no list of boxes.*read_coco"),
        (None, "xywh", "None is no list of boxes"),
        (7, "xywh", "7 is no list of boxes"),
        ([FORMS["xywh-relative"], BOX], "xywh-relative", "Box 2 of 2.* say form='xywh'"),
        ([FORMS["xywh-relative"]], "xywh", r"All boxes \(1\).*640x480.*form='xywh-relative'"),
        ([(0, 0, 1, 1)], "xyxy", "look relative.* form='xyxy-relative'"),
        ({"boxes": [(0.1, 0.1, 0.5, 0.5)]}, "xywh", "look relative.* target_sizes"),
        ([BOX], "yolo", "'yolo' is no form of boxes. Say xywh, xyxy, cxcywh"),
        ({"bbox": BOX}, "xywh", "has no boxes. Put it in a list"),
        ({"annotations": []}, "xywh", "read_coco"),
        ({"boxes": [BOX], "scores": [0.1, 0.2]}, "xywh", "There are 2 scores and 1 boxes"),
        ({"boxes": [BOX], "scores": 0.1}, "xywh", "0.1 is no list of scores"),
        ({"boxes": 5}, "xywh", "5 is no list of boxes"),
        ([{"bbox": BOX}, {"box": BOX}], "xywh", "Box 2 of 2, .* has no bbox"),
        ([{"box": BOX}, BOX], "xywh", "Box 2 of 2, .* has no box"),
        ([{"box": BOX, "score": 1.2}], "xywh", "The score of box 1 of 1 is 1.2"),
        ([{"box": BOX, "score": float("nan")}], "xywh", "The score of box 1 of 1 is nan"),
        ([{"box": BOX, "score": "0.9"}], "xywh", "The score of box 1 of 1 is '0.9'"),
    ],
)
def test_what_is_no_box_says_which_and_what_to_do(rows, form, message):
    with pytest.raises(InputError, match=message):
        read_boxes(rows, SIZE, form)


def test_over_the_edge_outside_and_tiny_ones_are_kept():
    boxes = [(-5.0, -5.0, 20.0, 20.0), (9000.0, 0.0, 5.0, 5.0), (3.0, 3.0, 0.01, 0.01)]
    assert [one.box for one in read_boxes(boxes, SIZE)] == boxes
    relative = read_boxes([(-0.1, 0.5, 1.2, 0.6)], SIZE, "xywh-relative")
    assert relative[0].box == pytest.approx((-64, 240, 768, 288))
    # Amid boxes that are in pixels, one may lie in the first.
    assert len(read_boxes([BOX, (0, 0, 1, 1)], SIZE)) == 2


def test_dicts_say_more():
    found = read_boxes(
        [
            {"bbox": [10, 20, 30, 40], "id": 17, "category_id": 3, "iscrowd": 0},
            {"bbox": [10, 20, 30, 40], "score": 0.5, "name": "dog"},
            {"bbox": torch.tensor([10, 20, 30, 40]), "score": torch.tensor(1.0), "label": 7},
        ],
        SIZE,
        "xyxy",  # bbox is COCO's whatever is said
    )
    assert found == [
        Proposal(BOX, id="17"),
        Proposal(BOX, 0.5, "dog"),
        Proposal(BOX, 1.0),
    ]
    pipeline = {"score": 0.9, "label": "cat", "box": dict(xmin=10, ymin=20, xmax=40, ymax=60)}  # noqa: C408
    assert read_boxes([pipeline], SIZE) == [Proposal(BOX, 0.9, "cat")]


def test_results_of_detectors():
    boxes = torch.tensor([[10.0, 20, 40, 60]], requires_grad=True)
    scores = torch.tensor([0.5], dtype=torch.bfloat16)
    torchvision = {"boxes": boxes, "scores": scores, "labels": torch.tensor([18])}
    assert read_boxes(torchvision, SIZE) == [Proposal(BOX, 0.5)]
    zero_shot = {"boxes": boxes, "scores": scores, "labels": torch.tensor([0])}
    zero_shot["text_labels"] = ["a dog"]
    assert read_boxes(zero_shot, SIZE) == [Proposal(BOX, 0.5, "a dog")]
    assert read_boxes({"boxes": boxes, "labels": ["dog"]}, SIZE) == [Proposal(BOX, name="dog")]
    one_more_than_one = np.array([1.0000001], dtype=np.float32)
    assert read_boxes({"boxes": boxes, "scores": one_more_than_one}, SIZE)[0].score == 1


@dataclass
class Standin:
    """The attributes of `supervision.Detections`."""

    xyxy: np.ndarray
    mask: None = None
    confidence: np.ndarray | None = None
    class_id: np.ndarray | None = None
    tracker_id: np.ndarray | None = None
    data: dict = field(default_factory=dict)


def supervised(kind):
    corners = np.array([[10, 20, 40, 60], [0, 0, 5, 5]], dtype=np.float32)
    whole = kind(
        xyxy=corners,
        confidence=np.array([0.5, 1.0], dtype=np.float32),
        class_id=np.array([3, 4]),
        tracker_id=np.array([7, 8]),
        data={"class_name": np.array(["dog", "cat"])},
    )
    assert read_boxes(whole, SIZE) == [
        Proposal(BOX, 0.5, "dog", "7"),
        Proposal((0.0, 0.0, 5.0, 5.0), 1.0, "cat", "8"),
    ]
    bare = kind(xyxy=corners[:1], class_id=np.array([3]))
    assert read_boxes(bare, SIZE, "xywh") == [Proposal(BOX)]
    assert read_boxes(kind(xyxy=np.empty((0, 4))), SIZE) == []
    with pytest.raises(InputError, match=r"Box 1 of 1.* no area"):
        read_boxes(kind(xyxy=np.array([[40.0, 60, 10, 20]])), SIZE)


def test_what_looks_like_supervision():
    supervised(Standin)


def test_supervision_itself():
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    supervised(supervision.Detections)
    assert read_boxes(supervision.Detections.empty(), SIZE) == []


def test_thousands():
    random = np.random.default_rng(0)
    boxes = random.uniform(1, 400, (20_000, 4))
    assert [one.box for one in read_boxes(boxes, SIZE)] == [tuple(box) for box in boxes.tolist()]
