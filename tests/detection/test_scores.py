"""Scores: what the product says, and suppression as a plain reference has it."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.detection.scores import fused, suppress
from rar_agent.errors import InputError

SHARE = st.floats(0, 1)


@given(SHARE, SHARE, st.floats(0, 10))
def test_a_fused_score_is_a_probability_that_no_box_score_raises(probability, box_score, weight):
    assert 0 <= fused(probability, box_score, weight) <= probability
    assert fused(probability, None, weight) == probability
    assert fused(probability, box_score, 0) == probability
    assert fused(probability, box_score) == probability * box_score


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), min_size=2), st.floats(0.1, 0.9))
def test_a_geometric_mean_has_the_order_of_a_weight(pairs, share):
    def mean(pair):
        return pair[0] ** share * pair[1] ** (1 - share)

    def product(pair):
        return fused(*pair, (1 - share) / share)

    for one, other in itertools.pairwise(pairs):
        if not math.isclose(mean(one), mean(other), rel_tol=1e-9):
            assert (mean(one) < mean(other)) == (product(one) < product(other))


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_weights_that_are_none(weight):
    with pytest.raises(InputError, match="no weight"):
        fused(0.5, 0.5, weight)


def overlap(one, other):
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(0, width) * max(0, height)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def reference(boxes, scores, categories, iou):
    kept = []
    for at in sorted(range(len(boxes)), key=lambda at: (-scores[at], at)):
        if all(
            categories[at] != categories[one] or overlap(boxes[at], boxes[one]) <= iou
            for one in kept
        ):
            kept.append(at)
    return kept


PLACE, SIDE = st.integers(-20, 20), st.integers(1, 20)  # whole: overlaps are met to the last digit
FOUND = st.lists(
    st.tuples(
        st.tuples(PLACE, PLACE, SIDE, SIDE),
        st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        st.sampled_from(["dog", "cat", 7]),
    ),
    max_size=25,
)


@given(FOUND, st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
def test_as_the_reference_has_it(found, iou):
    boxes, scores, categories = ([one[i] for one in found] for i in range(3))
    assert suppress(boxes, scores, categories, iou) == reference(boxes, scores, categories, iou)


def test_hundreds_of_boxes_go_another_way_in_torchvision_and_are_the_same():
    import numpy as np

    random = np.random.default_rng(0)
    boxes = np.hstack([random.integers(-50, 300, (1500, 2)), random.integers(1, 90, (1500, 2))])
    scores, categories = random.integers(0, 20, 1500) / 20, random.integers(0, 5, 1500)
    kept = suppress(boxes, scores, categories.tolist(), 0.5)
    assert kept == reference(boxes.tolist(), scores.tolist(), categories.tolist(), 0.5)
    assert 100 < len(kept) < 1500


def test_boxes_left_of_the_image_stay_apart_from_other_categories():
    # batched_nms moves categories apart by the largest coordinate: the second would be the first.
    boxes = [(0, 0, 10, 10), (-11, -11, 10, 10)]
    assert suppress(boxes, [0.9, 0.8], ["dog", "cat"], 0.5) == [0, 1]


def test_what_cannot_be_suppressed():
    box = (0, 0, 5, 5)
    assert suppress([], [], [], 0.5) == []
    with pytest.raises(InputError, match=r"1\.5 is no overlap"):
        suppress([box], [1], ["a"], 1.5)
    with pytest.raises(InputError, match="1 boxes, 2 scores and 1 categories"):
        suppress([box], [1, 1], ["a"], 0.5)
    with pytest.raises(InputError, match="not a finite number"):
        suppress([box], [math.nan], ["a"], 0.5)
    with pytest.raises(InputError, match="not a finite number"):
        suppress([(0, 0, math.inf, 5)], [1], ["a"], 0.5)
