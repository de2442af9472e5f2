"""Boxes that models name: what is taken as one, and what they are told of each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rar_agent.agents.answer import describe_boxes
from rar_agent.agents.boxes import FORM, Boxes, shares
from rar_agent.detection import read_boxes
from rar_agent.errors import InputError
from rar_agent.types import (
    Branch,
    Category,
    Detection,
    Detections,
    Failure,
    RankedCategory,
    Recognition,
    Trace,
)

BOXES = TypeAdapter(Boxes)
SHARE = st.floats(0, 1).map(lambda share: round(share, 4))


@st.composite
def corners(draw):
    left, top = draw(st.floats(-0.4, 0.9)), draw(st.floats(-0.4, 0.9))
    return [left, top, left + draw(st.floats(0.01, 0.5)), top + draw(st.floats(0.01, 0.5))]


@given(st.lists(corners(), max_size=20), st.tuples(*[st.integers(2, 9_000)] * 2))
def test_what_a_model_may_give_is_read_as_boxes(given, size):
    assert BOXES.validate_python(given) == given
    read = read_boxes(shares(given), size, FORM)
    assert len(read) == len(given)
    for one, (left, top, right, bottom) in zip(read, given, strict=True):
        x, y, width, height = one.box
        assert (x, y) == pytest.approx((left * size[0], top * size[1]))
        assert x + width == pytest.approx(right * size[0], abs=1e-6)
        assert y + height == pytest.approx(bottom * size[1], abs=1e-6)


@given(st.lists(corners(), max_size=5), corners(), st.integers(0, 3), st.integers(0, 5))
def test_pixels_and_thousandths_are_refused_wherever_they_are(fine, box, at, place):
    for wrong in (1.51, 2, 640, 1000, -0.51, -30, float("nan"), float("inf"), float("-inf")):
        bad = [wrong if i == at else share for i, share in enumerate(box)]
        with pytest.raises(InputError, match=rf"^Box {min(place, len(fine)) + 1}, .*Divide pixels"):
            shares([*fine[:place], bad, *fine[place:]])


@given(corners(), st.sampled_from([(0, 2), (1, 3)]))
def test_corners_in_another_order_are_refused(box, pair):
    first, second = pair
    box[first], box[second] = box[second], box[first]
    with pytest.raises(InputError, match="has no area"):
        shares([box])


@given(st.tuples(SHARE, SHARE, SHARE, SHARE).map(list))
def test_a_single_box_is_a_list_of_one(box):
    assert BOXES.validate_python(box) == [box]
    assert BOXES.validate_python([box]) == [box]


def test_null_is_none():
    assert BOXES.validate_python(None) == BOXES.validate_python([]) == []


@pytest.mark.parametrize(
    "given",
    [[[0, 0, 1]], [[0, 0, 1, 1, 1]], [0, 0, 1], "0,0,1,1", [["a", 0, 1, 1]], [[0, 0, 1, 1]] * 21],
)
def test_what_is_no_list_of_boxes(given):
    with pytest.raises(ValidationError):
        BOXES.validate_python(given)


def recognition(names, abstained="", branch=None, means="calibrated", degraded=False):
    """Of these categories, with 60 %, 30 %, and so on."""
    return Recognition(
        image="0" * 64,
        source="image_1",
        decision="abstained" if abstained else "accepted",
        categories=tuple(
            RankedCategory(
                category=Category(name=name),
                probability=0.6 / 2**i,
                retrieval_probability=0.5,
                evidence=("image",),
            )
            for i, name in enumerate(names)
        ),
        branch=branch,
        trace=Trace(
            memory="m",
            generation=1,
            encoder="e",
            device="cpu",
            precision="fp32",
            method="gda",
            calibrated=True,
            probability_means=means,
            ranker="none",
            abstained=abstained,
            degraded=degraded,
        ),
    )


def detections(*found):
    """Of recognitions, and of texts that say what failed."""
    return Detections(
        image="0" * 64,
        source="image_1",
        width=10,
        height=10,
        detections=tuple(
            Detection(box=(0, 0, 1, 1), failure=Failure(source="x", error=one, kind="InputError"))
            if isinstance(one, str)
            else Detection(box=(0, 0, 1, 1), recognition=one)
            for one in found
        ),
    )


UNSURE = "not sure enough: 0.15 is under 0.20"
STRANGE = "nothing similar enough: only 0.1 % of known images are as far from all that it knows"


def test_each_box_has_its_line():
    warm = Branch(name="warm colours", probability=0.94, categories=2)
    said = describe_boxes(
        detections(
            recognition(["red", "orange", "blue"]),
            recognition(["blue"], UNSURE, warm),
            recognition([], STRANGE),
            "Box [9.0, 9.0, 2.0, 2.0] is not in an image of 8x8 pixels. Boxes are left, top.",
        )
    )
    assert said.splitlines() == [
        "1. red 60 %, or orange 30 %.",
        "2. Not recognised, not sure enough, but one of warm colours 94 %; best guess blue 60 %.",
        "3. Not recognised, nothing similar enough.",
        "4. Failed: Box [9.0, 9.0, 2.0, 2.0] is not in an image of 8x8 pixels.",
        "Probability: calibrated.",
    ]


def test_the_runner_up_is_left_out_where_one_name_is_wanted():
    assert describe_boxes(detections(recognition(["red", "blue"])), 1).startswith("1. red 60 %.\n")


def test_what_ranking_failed_for_and_what_probabilities_mean_is_said_once():
    found = [recognition(["red"], means="a"), recognition(["red"], means="b", degraded=True)]
    assert describe_boxes(detections(*found, *found)).splitlines()[4:] == [
        "Ranking failed for 2 of 4, whose order is retrieval's; the artifact says why.",
        "Probability: a; or b.",
    ]


NAMES = st.sampled_from(["cat", "Egyptian cat", "Black-footed Albatross", "a\nb\u2028c. 2. dog"])
FOUND = st.one_of(
    st.builds(recognition, st.lists(NAMES, min_size=1, max_size=5)),
    st.builds(recognition, st.lists(NAMES, max_size=5), st.sampled_from([UNSURE, STRANGE])),
    st.text(max_size=300),
)


@given(st.lists(FOUND, min_size=1, max_size=20), st.integers(1, 26))
def test_a_line_a_box_that_is_short(found, most):
    lines = describe_boxes(detections(*found), most).split("\n")
    for number, line in enumerate(lines[: len(found)], start=1):
        assert line.startswith(f"{number}. ")
        assert len(line.splitlines()) == 1
        assert len(line) <= 100  # 25 tokens, as LangChain counts them
    assert len(lines) <= len(found) + 2
