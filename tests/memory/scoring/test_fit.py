import numpy as np
import pytest

from rar_agent.memory.scoring import fit as fit_module
from rar_agent.memory.scoring.features import map_features
from rar_agent.memory.scoring.fit import NOT_DRAWN, fit_exemplars, left_out_rows
from tests.memory.arrays import Arrays, clusters, unit


def test_it_chooses_by_leave_one_out_and_says_what_it_compared():
    fit = fit_exemplars(clusters(), "identity", None)
    assert (fit.rule, fit.method, fit.left_out) == ("leave-one-out", "gda", 120)
    assert fit.top1 > 0.9
    assert 0 <= fit.ece < 0.1
    assert set(fit.compared) == {"gda", "prototype", "knn", "cache"}
    assert fit.calibrated
    assert len(fit.calibration) == 120


def test_square_roots_keep_the_shares_of_features():
    vectors = np.abs(clusters().vectors)
    mapped = map_features(unit(vectors), "root")
    assert np.allclose(np.linalg.norm(mapped, axis=1), 1, atol=1e-5)
    assert np.allclose(mapped**2, vectors / vectors.sum(1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize(("categories", "shots"), [(5, 1), (40, 1), (3, 4), (1, 50)])
def test_too_few_exemplars_take_a_fixed_named_rule(categories, shots):
    fit = fit_exemplars(clusters(categories, shots), "identity", None)
    assert fit.rule == "single-exemplars"
    assert fit.calibration is None
    assert fit.ratio == NOT_DRAWN
    assert fit.top1 is None


def test_two_exemplars_each_are_chosen_on_but_not_called_calibrated():
    fit = fit_exemplars(clusters(80, 2), "identity", None)
    assert (fit.rule, fit.left_out) == ("leave-one-out", 160)
    assert not fit.calibrated


def test_text_weight_follows_how_good_texts_are():
    exemplars = clusters(spread=1.5)
    random = np.random.default_rng(1)
    good = 5.0 * np.eye(12)[exemplars.labels] + random.normal(size=(120, 12))
    useless = random.normal(size=(120, 12))
    helped = fit_exemplars(exemplars, "identity", lambda rows: good[rows])
    not_helped = fit_exemplars(exemplars, "identity", lambda rows: useless[rows])
    assert helped.text_weight > 0.5
    assert helped.text_alone > 0.5
    assert not_helped.text_weight < helped.text_weight / 3
    assert not_helped.text_alone < helped.text_alone / 3


def test_texts_are_weighted_at_one_exemplar_too():
    exemplars = clusters(40, 1)
    noise = np.random.default_rng(1).normal(size=(40, 40))
    for texts, low, high in ((noise + 6 * np.eye(40), 0.5, 3), (noise, 0, 0.2)):
        fit = fit_exemplars(exemplars, "identity", lambda rows, t=texts: t[rows])
        assert fit.rule == "single-exemplars"
        assert low <= fit.text_weight <= high


def test_categories_of_several_kinds_of_image_are_scored_by_single_exemplars():
    """A mean between two far kinds is like neither: here the nearest exemplars are likelier."""
    random = np.random.default_rng(0)
    centres = unit(random.normal(size=(40, 16)))
    kinds = np.repeat(np.arange(40), 8)
    labels = kinds % 4  # ten kinds each
    vectors = unit(centres[kinds] + 0.03 * random.normal(size=(320, 16)))
    fit = fit_exemplars(Arrays(vectors, labels), "identity", None)
    assert fit.method in ("cache", "knn")
    assert max(fit.compared["cache"], fit.compared["knn"]) > fit.compared["prototype"]


def test_what_is_left_out_is_bounded_and_the_same_each_time(monkeypatch):
    labels = clusters(30, 10).labels
    monkeypatch.setattr(fit_module, "MOST_LEFT_OUT", 150)
    rows = left_out_rows(labels)
    assert len(rows) == 150
    assert rows.tolist() == left_out_rows(labels).tolist() == sorted(set(rows.tolist()))
    monkeypatch.setattr(fit_module, "MOST_SCORES", 30 * 120)
    assert len(left_out_rows(labels)) == 120


def test_singles_are_never_left_out():
    exemplars = clusters(12, [1, 1, 1, 5, 5, 5, 5, 5, 5, 5, 5, 5])
    rows = left_out_rows(exemplars.labels)
    assert exemplars.labels[rows].min() == 3
    fit = fit_exemplars(exemplars, "identity", None)
    assert (fit.rule, fit.left_out) == ("leave-one-out", 45)
