"""Calibration and abstention: by hand, against libraries, and against the bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.evaluation.intervals import Clusters, spread
from rar_agent.evaluation.metrics import measure
from rar_agent.evaluation.metrics.abstention import aurc, auroc, risk_coverage
from rar_agent.evaluation.metrics.curves import curves_of
from rar_agent.memory.scoring.calibration import expected_calibration_error
from tests.evaluation.records import answer, by_name, judged, record


def sample(n=400, seed=0):
    random = np.random.default_rng(seed)
    confidence = random.beta(3, 1.5, n).round(2)  # with ties
    return confidence, random.random(n) < confidence**1.5


def test_ece_by_hand():
    # Bin of 0.95: half right, off by 0.45; bin of 0.65: all right, off by 0.35; half of each.
    found = by_name(measure(judged([1, 0, 1, 1], ps=[0.95, 0.95, 0.65, 0.65])), "1-shot")
    assert found["retrieval", "ECE"].value == pytest.approx(0.45 / 2 + 0.35 / 2)
    assert "were calibrated" in found["retrieval", "ECE"].note


def test_ece_is_the_one_that_memories_are_fitted_by():
    confidence, right = sample()
    found = by_name(measure(judged(right, ps=confidence)), "1-shot")
    theirs = expected_calibration_error(confidence, right)
    assert found["retrieval", "ECE"].value == pytest.approx(theirs)


def test_the_ece_of_perfect_probabilities_has_0_in_its_interval():
    random = np.random.default_rng(0)
    ps = random.random(500)
    found = by_name(measure(judged(random.random(500) < ps, ps=ps)), "1-shot")["retrieval", "ECE"]
    assert found.value > 0
    assert found.low == 0
    wrong = by_name(measure(judged(random.random(500) < ps**3, ps=ps)), "1-shot")
    assert wrong["retrieval", "ECE"].low > 0.1


def test_aurc_by_hand():
    confidence, right = np.array([0.6, 0.9, 0.7, 0.8]), np.array([0, 1, 1, 0], dtype=bool)
    # Surest first: right, wrong, right, wrong: risks 0, 1/2, 1/3, 2/4.
    assert risk_coverage(confidence, right).risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert aurc(confidence, right)[0] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_equally_sure_images_come_in_any_order_on_average():
    confidence, right = np.array([0.9, 0.5, 0.5]), np.array([1, 1, 0], dtype=bool)
    orders = [(0 + 0 + 1 / 3) / 3, (0 + 1 / 2 + 1 / 3) / 3]
    assert aurc(confidence, right)[0] == pytest.approx(np.mean(orders))


@pytest.mark.parametrize("statistic", [aurc, auroc])
def test_influence_gives_the_standard_error_of_the_bootstrap(statistic):
    confidence, right = sample()
    random, n = np.random.default_rng(1), len(right)
    values = []
    for _ in range(800):
        drawn = random.integers(n, size=n)
        values.append(statistic(confidence[drawn], right[drawn])[0])
    _, influence = statistic(confidence, right)
    assert influence.sum() == pytest.approx(0, abs=1e-9)
    variance, _ = spread(influence, Clusters(np.arange(n), np.zeros(n, dtype=np.int64)))
    assert np.sqrt(variance) == pytest.approx(np.std(values), rel=0.1)


def test_auroc_is_sklearns():
    metrics = pytest.importorskip("sklearn.metrics")
    confidence, right = sample()
    assert auroc(confidence, right)[0] == pytest.approx(metrics.roc_auc_score(right, confidence))


def test_auroc_has_delongs_variance():
    # X right {3, 4, 5}, wrong {1, 3.5}: placements of right 1/2, 1, 1, of wrong 1, 2/3.
    confidence = np.array([3, 4, 5, 1, 3.5])
    right = np.array([1, 1, 1, 0, 0], dtype=bool)
    value, influence = auroc(confidence, right)
    assert value == pytest.approx(5 / 6)
    assert influence * [3, 3, 3, 2, 2] == pytest.approx([-1 / 3, 1 / 6, 1 / 6, 1 / 6, -1 / 6])


def test_right_and_wrong_answers_that_are_all_apart():
    found = by_name(measure(judged([1] * 30 + [0] * 10, ps=[0.9] * 30 + [0.5] * 10)), "1-shot")
    apart = found["retrieval", "AUROC"]
    assert apart.value == apart.high == 1
    assert 0.6 < apart.low < 0.8  # Wilson of 10 of 10


def test_abstaining():
    records = [
        record(f"{at}", "yes", retrieval=answer(name, "maybe", p=0.5, accepted=taken))
        for at, (name, taken) in enumerate([("yes", 1), ("yes", 1), ("no", 1), ("no", 0)])
    ]
    found = by_name(measure(records), "1-shot")
    assert found["retrieval", "coverage"].value == 0.75
    assert found["retrieval", "top-1 of answered"].value == pytest.approx(2 / 3)
    nothing = [record("1", "yes", retrieval=answer("yes", accepted=False))]
    found = by_name(measure(nothing), "1-shot")
    assert found["retrieval", "top-1 of answered"].why == "all images were abstained"
    for name in ("ECE", "AURC", "AUROC"):
        assert found["retrieval", name].why == "this way gives no probabilities"


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.booleans()), min_size=1))
def test_curves_end_at_the_error_rate(images):
    ps, right = zip(*images, strict=True)
    curves = curves_of(judged(right, ps=ps))
    points = curves.risk_coverage[0].points
    assert points[-1] == (1.0, pytest.approx(1 - np.mean(right)))
    assert all(0 <= risk <= 1 for _, risk in points)
    bins = curves.reliability[0].bins
    assert sum(one.n for one in bins) == len(right)
    ece = sum(one.n * abs(one.right - one.confidence) for one in bins) / len(right)
    found = by_name(measure(judged(right, ps=ps)), "1-shot")["retrieval", "ECE"]
    assert ece == pytest.approx(found.value)


def test_curves_of_categories_and_confusions():
    records = [
        record("1", "wren", knn="tit"),
        record("2", "wren", knn="tit"),
        record("3", "wren", knn="wren"),
        record("4", "tit", knn="wren"),
        record("1", "wren", "1-shot, seed 2", knn="owl"),
    ]
    curves = curves_of(records)
    assert curves.risk_coverage == ()
    assert [(c.truth, c.answer, c.count) for c in curves.confusions] == [
        ("wren", "tit", 2),
        ("tit", "wren", 1),
        ("wren", "owl", 1),
    ]
    assert [(c.name, c.n, c.right) for c in curves.categories] == [
        ("tit", 1, 0.0),
        ("wren", 4, 0.25),
    ]
