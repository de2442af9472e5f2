"""The closed forms against brute force: every sample really left out, every matrix inverted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.memory.scoring.gaussian import SharedGaussian, draw_weight, new_variance
from tests.memory.arrays import Arrays


def sample(seed, counts, dimension):
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = random.normal(size=(len(counts), dimension))
    vectors = centres[labels] + random.normal(scale=0.5, size=(len(labels), dimension))
    order = random.permutation(len(labels))
    return vectors[order].astype(np.float32), labels[order]


def brute_force(vectors, labels, shrinkage, ratio, query):
    """Squared Mahalanobis distances of a query to each drawn mean, from scratch."""
    vectors, count = vectors.astype(np.float64), labels.max() + 1
    counts = np.bincount(labels).astype(float)
    means = np.stack([vectors[labels == c].mean(axis=0) for c in range(count)])
    deviations = vectors - means[labels]
    scatter = deviations.T @ deviations / (len(labels) - count)
    dimension = vectors.shape[1]
    sphere = np.trace(scatter) / dimension * np.eye(dimension)
    precision = np.linalg.inv((1 - shrinkage) * scatter + shrinkage * sphere)
    origin = means.mean(axis=0)
    drawn = origin + draw_weight(counts, ratio)[:, None] * (means - origin)
    away = query.astype(np.float64) - drawn
    return np.einsum("cd,de,ce->c", away, precision, away)


RATIOS = st.sampled_from([0.05, 0.5, 3.0, 1e12])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    counts=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    dimension=st.integers(2, 40),  # on both sides of the number of exemplars
    shrinkage=st.sampled_from([0.05, 0.3, 0.7, 0.99, 1.0]),
    ratio=RATIOS,
)
def test_leave_one_out_equals_leaving_each_out(seed, counts, dimension, shrinkage, ratio):
    if sum(counts) - len(counts) < 2:
        return
    vectors, labels = sample(seed, counts, dimension)
    rows = np.flatnonzero(np.bincount(labels)[labels] >= 2)
    fast = SharedGaussian(Arrays(vectors, labels)).leave_one_out(rows, shrinkage, ratio)
    for found, row in zip(fast, rows, strict=True):
        kept = np.arange(len(labels)) != row
        slow = brute_force(vectors[kept], labels[kept], shrinkage, ratio, vectors[row])
        assert found == pytest.approx(slow, rel=1e-5, abs=1e-5)


def test_leaving_out_leaves_the_covariance_too():
    # With more dimensions than samples a covariance that kept the sample would know it.
    vectors, labels = sample(5, [3] * 8, 200)
    noise = np.random.default_rng(2).permutation(labels)
    gaussian = SharedGaussian(Arrays(vectors, noise))
    right = gaussian.leave_one_out(np.arange(len(noise)), 0.05, 1.0).argmin(axis=1) == noise
    assert right.mean() < 0.4


@pytest.mark.parametrize("shots", [2, 3, 5])
def test_own_distances_become_those_of_new_images(shots):
    """With the factor, a left-out exemplar is as far from its mean as a new image will be."""
    random = np.random.default_rng(0)
    categories, dimension = 300, 20
    centres = random.normal(size=(categories, dimension))
    labels = np.repeat(np.arange(categories), shots)
    vectors = centres[labels] + random.normal(size=(len(labels), dimension))
    fresh = centres + random.normal(size=(categories, dimension))
    gaussian = SharedGaussian(Arrays(vectors.astype(np.float32), labels))
    rows = np.arange(len(labels))
    ratio, distances = gaussian.leave_one_out_by_moments(rows, 0.1)
    assert (distances == gaussian.leave_one_out(rows, 0.1, ratio)).all()
    own = distances[rows, labels]
    new = [brute_force(vectors, labels, 0.1, ratio, fresh[c])[c] for c in range(0, categories, 4)]
    corrected = own * gaussian.own_factor(rows, ratio)
    assert corrected.mean() == pytest.approx(np.mean(new), rel=0.08)
    assert own.mean() > corrected.mean()


def test_the_spread_ratio_is_that_of_the_variances():
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(400), 4)
    for between in (0.5, 1.0, 2.0):
        centres = between * random.normal(size=(400, 10))
        vectors = centres[labels] + random.normal(size=(1600, 10))
        gaussian = SharedGaussian(Arrays(vectors.astype(np.float32), labels))
        found, _ = gaussian.leave_one_out_by_moments(np.arange(1600), 0.05)
        assert found == pytest.approx(between**2, rel=0.15)


@given(count=st.integers(1, 1000), ratio=st.floats(0.05, 100))
def test_more_exemplars_are_drawn_less_and_vary_less(count, ratio):
    one, more = np.array([float(count)]), np.array([count + 1.0])
    assert 0 < draw_weight(one, ratio) < draw_weight(more, ratio) < 1
    assert new_variance(one, ratio) > new_variance(more, ratio) > 1
