"""Thresholds, sets and p-values keep what they promise on new samples of the same kind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.memory.scoring import record
from rar_agent.memory.scoring.calibration import (
    Calibration,
    accept_from,
    expected_calibration_error,
)
from rar_agent.memory.scoring.fit import fit_exemplars
from rar_agent.memory.scoring.temper import AS_THEY_ARE, fit_temper
from tests.memory.arrays import clusters, memory_of, unit


def made(seed=0, count=2_000):
    """Answers that are right as often as they say."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.2, 1, count)
    right = random.uniform(size=count) < confidence
    truth = np.where(right, confidence, random.uniform(0, 1 - confidence))
    likeliest = np.stack([confidence, 1 - confidence], axis=1)
    return Calibration(confidence, truth, right, random.normal(size=count), likeliest)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), coverage=st.floats(0.5, 0.99))
def test_sets_hold_the_right_category_as_often_as_asked(seed, coverage):
    calibration, fresh = made(seed), made(seed + 1_000)
    covered = (fresh.truth >= calibration.include_from(coverage)).mean()
    spread = np.sqrt(2 * coverage * (1 - coverage) / 2_000)  # of the difference of two shares
    assert covered >= coverage - 5 * spread


def test_more_than_can_be_promised_puts_all_in():
    few = made(count=50)
    assert few.include_from(0.99) == 0.0
    assert few.include_from(0.9) > 0.0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), rate=st.floats(0.02, 0.4))
def test_accepted_answers_err_no_more_than_asked(seed, rate):
    calibration, fresh = made(seed), made(seed + 1_000)
    accepted = fresh.confidence >= calibration.accept_from(rate)
    if accepted.sum() > 50:
        wrong = 1 - fresh.right[accepted].mean()
        assert wrong <= rate + 3 * np.sqrt(rate / accepted.sum())


def test_few_answers_promise_rather_by_merit_than_by_luck():
    """Of 170 answers that are right three times in four, hardly ever are enough right for 5 %."""
    random, promised, broken = np.random.default_rng(0), 0, 0
    for _ in range(1_000):
        confidence = random.beta(3, 1, 170)
        least = accept_from(confidence, random.uniform(size=170) < confidence, 0.05)
        promised += least < 1
        # (p^3)' is the density: the mean of p above the threshold is 3/4 (1 - t^4) / (1 - t^3).
        broken += least < 1 and 0.75 * (1 - least**4) / (1 - least**3) < 0.95
    assert promised > 10
    assert broken < 0.5 * promised  # by the bound alone two of three


def test_a_rate_that_cannot_be_promised_accepts_nothing():
    assert made(count=40).accept_from(0.01) == float("inf")
    assert made().accept_from(0.5) <= made().accept_from(0.1) <= 1.0


def test_p_values_are_uniform_on_what_is_known_and_small_on_what_is_not():
    calibration, fresh = made(0), made(1)
    shares = calibration.familiar(fresh.familiarity)
    assert np.quantile(shares, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.05)
    assert calibration.familiar(np.array([-99.0]))[0] == pytest.approx(1 / 2001)
    assert calibration.familiar(np.array([99.0]))[0] == 1.0


def test_ece_by_hand():
    sure = np.full(4, 0.75)
    assert expected_calibration_error(sure, np.array([1, 1, 1, 0], bool)) == pytest.approx(0)
    assert expected_calibration_error(sure, np.zeros(4, bool)) == pytest.approx(0.75)
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0


def test_two_temperatures_keep_the_order_and_are_likelier_where_images_differ():
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 800)
    clear = np.where(random.uniform(size=800) < 0.7, 8.0, 0.5)
    logits = random.normal(size=(800, 10)) + clear[:, None] * np.eye(10)[labels]
    temper = fit_temper(logits, labels)
    rows = np.arange(800)
    mixed, one = temper.log_posterior(logits), AS_THEY_ARE.log_posterior(logits)
    assert mixed[rows, labels].mean() > one[rows, labels].mean()
    assert (mixed.argsort(axis=1) == one.argsort(axis=1)).all()
    assert np.exp(mixed).sum(axis=1) == pytest.approx(1)


def test_a_fitted_memory_keeps_its_promises_on_new_images(tmp_path):
    exemplars, queries, asked = clusters(60, 8, spread=1.8, seed=3, fresh=30)
    memory = memory_of(tmp_path, exemplars.by_label())
    assert memory.calibrated
    found = memory.search(queries, np.ones(len(queries), np.float32), k=1, exemplars=0)
    right = np.array(
        [r.candidates[0].category.name == f"c{c}" for r, c in zip(found, asked, strict=True)]
    )
    sure = np.array([r.candidates[0].probability for r in found])
    assert expected_calibration_error(sure, right) < 0.05
    assert np.mean([not r.similar_enough for r in found]) < 0.03
    threshold = memory.calibration.accept_from(0.1)
    assert 1 - right[sure >= threshold].mean() < 0.13
    for coverage in (0.8, 0.95):
        sets = memory.search(
            queries, np.ones(len(queries), np.float32), exemplars=0, coverage=coverage
        )
        within = [
            f"c{c}" in [candidate.category.name for candidate in r.candidates]
            for r, c in zip(sets, asked, strict=True)
        ]
        assert np.mean(within) >= coverage - 0.02
        assert len({len(r.candidates) for r in sets}) > 1  # k varies by image
    strangers = unit(np.random.default_rng(9).normal(size=(300, 32)))
    asked_of = memory.search(strangers, np.ones(300, np.float32), exemplars=0)
    assert np.mean([r.familiarity for r in asked_of]) < 0.35


def test_ece_is_reported_of_the_left_out(tmp_path):
    exemplars = clusters(20, 8, spread=1.2)
    fit = fit_exemplars(exemplars, "identity", None)
    memory = memory_of(tmp_path, exemplars.by_label())
    assert memory.manifest.fit.ece == pytest.approx(fit.ece)
    assert memory.manifest.fit.compared == pytest.approx(fit.compared)


def test_nothing_is_promised_of_a_sample_of_the_categories(tmp_path, monkeypatch):
    exemplars = clusters(30, 6)
    images = exemplars.by_label()
    assert memory_of(tmp_path / "all", images).calibrated
    monkeypatch.setattr(record, "MOST_CATEGORIES", 20)
    memory = memory_of(tmp_path / "some", images)
    assert not memory.calibrated
    assert memory.calibration is None
    found = memory.search(exemplars.vectors, np.ones(180, np.float32), k=1)
    right = [
        r.candidates[0].category.name == f"c{c}"
        for r, c in zip(found, exemplars.labels, strict=True)
    ]
    assert np.mean(right) > 0.9  # those that were not drawn are found as well
