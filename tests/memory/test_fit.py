import numpy as np
import pytest

from rar_agent.encoders.base import normalize
from rar_agent.memory.fit import expected_calibration_error, fit_exemplars, map_features


def exemplars(categories=12, shots=10, dimension=32, seed=0, spread=0.6, positive=False):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(categories, dimension))
    labels = np.repeat(np.arange(categories), shots).astype(np.int32)
    rows = centres[labels] + spread * random.normal(size=(len(labels), dimension))
    rows = np.abs(rows) if positive else rows
    return normalize(rows.astype(np.float32))[0], labels


def test_it_chooses_by_leave_one_out_and_says_so():
    vectors, labels = exemplars()
    fit = fit_exemplars(vectors, labels, None, names_help=False)
    assert fit.rule == "leave-one-out"
    assert fit.calibrated
    assert fit.loo_images == 120
    assert fit.loo_top1 > 0.9
    assert 0 <= fit.loo_ece < 0.1
    assert fit.feature_map == "identity"  # these vectors have negative parts
    assert fit.weights.shape == (12, 32)


def test_square_roots_are_tried_only_where_nothing_is_negative():
    vectors, _ = exemplars(positive=True)
    mapped = map_features(vectors, "root")
    assert np.allclose(np.linalg.norm(mapped, axis=1), 1, atol=1e-5)
    assert np.allclose(
        mapped**2 / (mapped**2).sum(1, keepdims=True),
        vectors / vectors.sum(1, keepdims=True),
        atol=1e-5,
    )


@pytest.mark.parametrize(("categories", "shots"), [(5, 1), (40, 1), (40, 2), (3, 4), (1, 50)])
def test_too_few_exemplars_take_a_fixed_named_rule(categories, shots):
    vectors, labels = exemplars(categories, shots)
    for help_ in (True, False):
        fit = fit_exemplars(vectors, labels, None, names_help=help_)
        assert fit.rule == "few-exemplars"
        assert not fit.calibrated
        assert fit.text_weight == (1.0 if help_ else 0.0)
        assert fit.loo_top1 is None


def test_category_ids_need_not_be_dense():
    vectors, labels = exemplars()
    fit = fit_exemplars(vectors, labels * 7 + 3, None, names_help=False)
    assert fit.categories.tolist() == [7 * i + 3 for i in range(12)]


def test_text_weight_follows_how_good_texts_are():
    vectors, labels = exemplars(spread=1.5)
    random = np.random.default_rng(1)
    good = 5.0 * np.eye(12)[labels].astype(np.float32)
    useless = random.normal(size=(len(labels), 12)).astype(np.float32)
    helped = fit_exemplars(vectors, labels, good, names_help=True)
    not_helped = fit_exemplars(vectors, labels, useless, names_help=True)
    assert helped.text_weight > 0.5
    assert not_helped.text_weight < 0.1


def test_scores_are_calibrated_on_new_samples_of_the_same_kind():
    vectors, labels = exemplars(categories=20, shots=12, spread=1.3, seed=1)
    fit = fit_exemplars(vectors, labels, None, names_help=False)
    # New draws around the same centres.
    random = np.random.default_rng(1)
    centres = random.normal(size=(20, 32))
    fresh = np.repeat(np.arange(20), 100)
    rows = centres[fresh] + 1.3 * np.random.default_rng(99).normal(size=(len(fresh), 32))
    queries = normalize(rows.astype(np.float32))[0]
    logits = fit.image_scale * (queries @ fit.weights.T + fit.biases).astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    right = shares.argmax(axis=1) == fresh
    assert expected_calibration_error(shares.max(axis=1), right) < 0.06


def test_the_floor_is_the_loneliest_exemplar():
    vectors, labels = exemplars()
    fit = fit_exemplars(vectors, labels, None, names_help=False)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    assert fit.similarity_floor == pytest.approx(cosines.max(axis=1).min(), abs=1e-6)


def test_ece_by_hand():
    sure = np.full(4, 0.75)
    assert expected_calibration_error(sure, np.array([1, 1, 1, 0], bool)) == pytest.approx(0)
    assert expected_calibration_error(sure, np.zeros(4, bool)) == pytest.approx(0.75)
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0
