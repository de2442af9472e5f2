import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.ranking import fuse
from rar_agent.ranking.fusion import PLACE_ODDS, place_probabilities

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=26)


@given(st.permutations(range(6)))
def test_places_fall_by_the_odds(order):
    shares = place_probabilities(order, 6)
    ranked = [shares[position] for position in order]
    assert sum(shares) == pytest.approx(1)
    assert np.allclose(np.array(ranked[:-1]) / ranked[1:], PLACE_ODDS)


@given(SHARES, st.randoms())
def test_fusion_keeps_the_mass_and_stays_a_probability(shares, random):
    retrieval = np.array(shares) / max(1.0, sum(shares))
    order = random.sample(range(len(shares)), len(shares))
    fused = fuse(list(retrieval), place_probabilities(order, len(shares)))
    assert sum(fused) == pytest.approx(min(1.0, retrieval.sum()), abs=1e-9)
    assert all(0 <= p <= 1 + 1e-9 for p in fused)


def test_weight_nothing_changes_nothing():
    assert fuse([0.5, 0.3, 0.1], place_probabilities([2, 1, 0], 3), 0.0) == pytest.approx(
        [0.5, 0.3, 0.1]
    )


def test_a_swap_wins_only_against_close_retrieval():
    swapped = place_probabilities([1, 0], 2)
    close, far = fuse([0.4, 0.3], swapped), fuse([0.6, 0.1], swapped)
    assert close[1] > close[0]
    assert far[0] > far[1]


def test_what_an_answer_leaves_out_shares_the_places_after():
    assert place_probabilities([2], 4) == pytest.approx(np.array([13, 13, 81, 13]) / 120)
    assert place_probabilities([], 3) == pytest.approx([1 / 3] * 3)
