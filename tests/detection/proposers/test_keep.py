"""What is kept of any boxes: in the image, surest first, none twice, in no order but this one."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.detection import Proposal
from rar_agent.detection.proposers import Limits, keep
from rar_agent.errors import InputError
from tests.detection.proposers.conftest import inside

SIDE = st.floats(-50, 150, width=32) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0])
PROPOSAL = st.builds(
    Proposal,
    box=st.tuples(SIDE, SIDE, SIDE, SIDE),
    score=st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1),
    name=st.sampled_from(["", "bird", "kite"]),
)
LIMITS = st.builds(
    Limits,
    most=st.integers(1, 9),
    least=st.none() | st.floats(0, 1),
    iou=st.none() | st.floats(0, 1),
)


def overlap(one, other):
    across, down = (
        max(0, min(one[at] + one[at + 2], other[at] + other[at + 2]) - max(one[at], other[at]))
        for at in (0, 1)
    )
    return across * down / (one[2] * one[3] + other[2] * other[3] - across * down)


@given(st.lists(PROPOSAL, max_size=30), st.integers(1, 100), st.integers(1, 100), LIMITS)
def test_whatever_a_detector_says(proposals, width, height, limits):
    found = keep(proposals, (width, height), limits)
    assert len(found) <= limits.most
    assert inside([replace(one, score=one.score or 0.0) for one in found], (width, height))
    if limits.least is not None:
        assert all((one.score or 0) > limits.least for one in found)
    if limits.iou is not None:
        for at, one in enumerate(found):
            assert all(overlap(one.box, other.box) <= limits.iou + 1e-9 for other in found[:at])
    shuffled = random.Random(0).sample(proposals, len(proposals))
    assert keep(shuffled, (width, height), limits) == found


def test_what_is_over_the_edge_is_cut_and_what_is_outside_is_left_out():
    boxes = [(-5, -5, 10, 10), (95, 45, 10, 10), (-5, 0, 5, 5), (100, 0, 5, 5), (3, 3, 0, 9)]
    found = keep([Proposal(box, 0.5) for box in boxes], (100, 50))
    assert [one.box for one in found] == [(0, 0, 5, 5), (95, 45, 5, 5)]


def test_one_thing_under_two_names_is_kept_once():
    kite, bird = Proposal((0, 0, 10, 10), 0.6, "kite"), Proposal((0, 1, 10, 10), 0.9, "bird")
    behind = Proposal((0, 4, 10, 10), 0.5, "boat")
    proposals = [kite, bird, behind]
    assert keep(proposals, (20, 20)) == [bird, behind]
    assert keep(proposals, (20, 20), Limits(iou=None)) == [bird, kite, behind]
    assert keep(proposals, (20, 20), Limits(most=1)) == [bird]
    assert keep(proposals, (20, 20), Limits(least=0.6)) == [bird]


def test_what_the_caller_gave_stays_with_the_box():
    given_ = Proposal((1, 2, 3, 4), None, "bird", "7")
    assert keep([given_], (10, 10)) == [given_]


@pytest.mark.parametrize("wrong", [{"most": 0}, {"least": 1.5}, {"iou": -1}, {"iou": math.nan}])
def test_limits_out_of_range(wrong):
    with pytest.raises(InputError, match=str(next(iter(wrong.values())))):
        Limits(**wrong)
