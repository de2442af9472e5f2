import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.errors import InputError
from rar_agent.ranking import choose_boxes, gain_of_asking

SHARE = st.floats(0, 1)
GAINS = st.lists(st.none() | SHARE | st.sampled_from([0.0, 0.25, 0.5]), max_size=30)


@pytest.mark.parametrize(
    ("probabilities", "shown", "score", "gain"),
    [
        ([0.6, 0.3, 0.05], 3, None, 0.35),
        ([0.6, 0.3, 0.05], 2, None, 0.3),  # the third is not shown
        ([0.6, 0.3, 0.1], 3, 0.5, 0.2),
        ([0.6, 0.3], 1, None, 0),  # nothing to choose from
        ([0.6, 0.3], 0, None, 0),
        ([1.0], 5, None, 0),
        ([], 5, None, 0),
        ([0.5, 0.5], 2, 0.0, 0),
    ],
)
def test_what_asking_can_gain(probabilities, shown, score, gain):
    assert gain_of_asking(probabilities, shown, score) == pytest.approx(gain)


@given(st.lists(SHARE, max_size=8), st.integers(0, 9), st.none() | SHARE)
def test_it_is_no_more_than_what_may_be_wrong_and_grows_with_what_is_shown(weights, shown, score):
    total = sum(weights) or 1.0
    falling = sorted((weight / total for weight in weights), reverse=True)
    gain = gain_of_asking(falling, shown, score)
    assert 0 <= gain <= 1 - (falling[0] if falling else 1) + 1e-9
    assert gain <= gain_of_asking(falling, shown + 1, score) <= gain_of_asking(falling, 99) + 1e-9


def test_those_that_gain_most_are_asked_about_the_first_of_equals():
    gains = [0.1, None, 0.3, 0.1, 0.2]
    assert choose_boxes(gains, None) == [0, 2, 3, 4]
    assert [choose_boxes(gains, most) for most in range(5)] == [
        [],
        [2],
        [2, 4],
        [0, 2, 4],
        [0, 2, 3, 4],
    ]
    with pytest.raises(InputError, match="-1 boxes"):
        choose_boxes(gains, -1)


@given(GAINS, st.integers(0, 32))
def test_the_budget_and_the_gate_are_kept(gains, most):
    chosen = choose_boxes(gains, most)
    assert chosen == sorted(set(chosen))
    open_ = [place for place, gain in enumerate(gains) if gain is not None]
    assert set(chosen) <= set(open_)
    assert len(chosen) == min(most, len(open_))
    assert set(chosen) <= set(choose_boxes(gains, most + 1)) <= set(choose_boxes(gains, None))
    left = [gains[place] for place in open_ if place not in chosen]
    assert not chosen or max(left, default=0) <= min(gains[place] for place in chosen)
