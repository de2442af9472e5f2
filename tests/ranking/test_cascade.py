"""Weight and gate on simulated images and rankers; benchmarks/cascade.py has real images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.ranking.cascade import (
    MOST_WEIGHT,
    Allowed,
    Ranked,
    Retrieved,
    could_matter,
    fit_gate,
    fit_weight,
    most_lost,
)
from rar_agent.ranking.fusion import fuse, place_probabilities

K = 4


def images(count, seed, sharpness=2.0):
    """Calibrated retrieval: the truth is drawn from its own probabilities; falling ones."""
    random = np.random.default_rng(seed)
    shares = -np.sort(-random.dirichlet(np.full(K + 1, 1 / sharpness), count), axis=1)
    truth = [int(random.choice(K + 1, p=row)) for row in shares]
    return shares[:, :K], [place if place < K else None for place in truth]


def asked(shares, truth, accuracy, seed):
    random = np.random.default_rng(seed)
    ranked = []
    for row, place in zip(shares, truth, strict=True):
        order = list(random.permutation(K))
        if place is not None:
            order.remove(place)
            right = random.random() < accuracy
            order.insert(0 if right else int(random.integers(1, K)), place)
        ranked.append(Ranked(row.tolist(), place_probabilities(order, K).tolist(), place))
    return ranked


def retrieved(shares, truth):
    known = [
        row[place] if place is not None else 0.0 for row, place in zip(shares, truth, strict=True)
    ]
    return Retrieved(shares[:, 0], np.array(known))


HALF_A_POINT = Allowed(0.005)


def pick(known, calls, seed):
    """Calls at random, of the images where an answer could matter."""
    return np.random.default_rng(seed).permutation(could_matter(known, HALF_A_POINT))[:calls]


def accuracy(ranked, weight, gate):
    right = [
        (int(np.argmax(fuse(one.retrieval, one.ranking, weight))) if one.retrieval[0] < gate else 0)
        == one.truth
        for one in ranked
    ]
    return float(np.mean(right))


@pytest.mark.parametrize("ability", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_knows_nothing_is_hardly_believed(ability, seed):
    shares, truth = images(200, seed)
    assert fit_weight(asked(shares, truth, ability, seed)) < 0.12


@pytest.mark.parametrize("seed", range(5))
def test_the_better_a_model_the_more_it_is_believed(seed):
    shares, truth = images(300, seed)
    weights = [fit_weight(asked(shares, truth, a, seed)) for a in (0.25, 0.6, 0.8, 0.95, 1.0)]
    assert weights == sorted(weights)
    assert weights[-1] > 2.0
    assert weights[-1] <= MOST_WEIGHT


def test_nothing_asked_nothing_believed():
    assert fit_weight([]) == 0.0
    shares, _ = images(50, 0)
    assert fit_weight(asked(shares, [None] * 50, 1.0, 0)) == 0.0


@given(st.floats(0, 1), st.integers(0, 1_000))
@settings(max_examples=25, deadline=None)
def test_on_new_images_it_is_never_much_worse_than_not_ranking(ability, seed):
    shares, truth = images(1_000, seed)
    known = retrieved(shares, truth)
    sample = asked(shares, truth, ability, seed + 1)
    chosen = [sample[i] for i in pick(known, 200, seed)]
    weight = fit_weight(chosen)
    gate = fit_gate(known, chosen, weight, HALF_A_POINT)
    new = asked(*images(4_000, seed + 2), ability, seed + 3)
    alone, gated, always = (accuracy(new, weight, g) for g in (0.0, gate, 1.01))
    assert gated >= alone - 0.01
    assert gated >= always - 0.012  # 0.005 are allowed; the rest is sampling


def test_a_gate_holds_for_a_model_that_is_better_where_retrieval_is_surer():
    shares, truth = images(4_000, 7)
    sure = shares[:, 0] > 0.7
    sample = [
        one if sure[i] else other
        for i, (one, other) in enumerate(
            zip(asked(shares, truth, 0.97, 8), asked(shares, truth, 0.4, 9), strict=True)
        )
    ]
    known = retrieved(shares, truth)
    chosen = [sample[i] for i in pick(known, 200, 0)]
    weight = fit_weight(chosen)
    gate = fit_gate(known, chosen, weight, HALF_A_POINT)
    assert accuracy(sample, weight, 1.01) - accuracy(sample, weight, gate) <= 0.005


def test_errors_that_no_model_can_mend_cost_no_calls():
    shares, truth = images(3_000, 5)
    outside = [place if place == 0 else None for place in truth]
    assert len(could_matter(retrieved(shares, outside), HALF_A_POINT)) == 0


def test_a_gate_costs_what_was_allowed_and_more_saves_more():
    shares, truth = images(4_000, 1)
    sample = asked(shares, truth, 0.9, 2)
    weight = fit_weight(sample[:300])
    known = retrieved(shares, truth)
    gates = [
        fit_gate(known, sample[:300], weight, Allowed(loss)) for loss in (0.0001, 0.005, 0.02, 0.5)
    ]
    assert gates == sorted(gates, reverse=True)
    assert gates[1] < gates[0]
    assert gates[-1] == 0.0
    lost = [accuracy(sample, weight, 1.01) - accuracy(sample, weight, gate) for gate in gates]
    assert all(cost <= most for cost, most in zip(lost, (0.0001, 0.005, 0.02, 0.5), strict=True))


def test_a_model_is_not_asked_where_it_could_change_nothing():
    shares, truth = images(30, 3)  # far too few for a bound on what is lost
    sample = asked(shares, truth, 0.9, 2)
    gate = fit_gate(retrieved(shares, truth), sample, 0.5, Allowed(0.001))
    assert 0.5 < gate < 1
    for one in asked(*images(500, 4), 0.9, 5):
        if one.retrieval[0] >= gate:
            assert int(np.argmax(fuse(one.retrieval, one.ranking, 0.5))) == 0


def test_a_weight_of_nothing_never_asks():
    shares, truth = images(300, 3)
    assert (
        fit_gate(retrieved(shares, truth), asked(shares, truth, 0.0, 1), 0.0, HALF_A_POINT) == 0.0
    )


def test_calls_go_where_they_could_matter():
    shares, truth = images(2_000, 3, sharpness=8.0)
    known = retrieved(shares, truth)
    chosen = could_matter(known, HALF_A_POINT)
    assert 0 < len(chosen) < 2_000
    assert known.confidence[chosen].max() < np.delete(known.confidence, chosen).min()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_budget_is_not_exceeded(share):
    shares, truth = images(1_000, 6)
    known = retrieved(shares, truth)
    sample = asked(shares, truth, 0.95, 1)
    budget = Allowed(asked=share)
    gate = fit_gate(known, sample, 3.0, budget)
    calls = (known.confidence < gate).mean()
    assert calls <= share
    assert calls >= share - 0.01 or gate > 0.9  # more would change nothing
    assert len(could_matter(known, budget)) <= share * 1_000
    rest = fit_gate(known, sample, 3.0, Allowed(most_lost(known, sample, 3.0, gate)))
    assert rest <= gate + 1e-9 or share == 1.0


def test_a_budget_holds_where_many_are_equally_sure():
    known = Retrieved(np.array([0.5] * 8 + [0.9] * 2), np.full(10, 0.3))
    sample = asked(*images(50, 0), 0.9, 1)
    for share in (0.3, 0.5, 0.79):
        assert fit_gate(known, sample, 3.0, Allowed(asked=share)) <= 0.5  # none of the equal ones
    assert 0.5 < fit_gate(known, sample, 3.0, Allowed(asked=0.8)) <= 0.9


def test_what_is_lost_is_bounded_from_what_was_seen():
    shares, truth = images(4_000, 1)
    sample = asked(shares, truth, 0.9, 2)
    weight, known = fit_weight(sample[:300]), retrieved(shares, truth)
    for gate in (0.3, 0.6, 0.9):
        lost = accuracy(sample, weight, 1.01) - accuracy(sample, weight, gate)
        assert lost <= most_lost(known, sample[:300], weight, gate)
    assert most_lost(known, sample, weight, 1.01) == 0.0
