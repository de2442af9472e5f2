"""The closed forms against brute force: every sample really left out, every matrix inverted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.memory.gaussian import SharedGaussian


def sample(seed, counts, dimension):
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = random.normal(size=(len(counts), dimension))
    vectors = centres[labels] + random.normal(scale=0.5, size=(len(labels), dimension))
    order = random.permutation(len(labels))
    return vectors[order].astype(np.float32), labels[order]


def brute_force(vectors, labels, shrinkage, query):
    """Minus half the squared Mahalanobis distances of a query to each mean."""
    vectors, count = vectors.astype(np.float64), labels.max() + 1
    means = np.stack([vectors[labels == c].mean(axis=0) for c in range(count)])
    deviations = vectors - means[labels]
    scatter = deviations.T @ deviations / (len(labels) - count)
    dimension = vectors.shape[1]
    sphere = np.trace(scatter) / dimension * np.eye(dimension)
    precision = np.linalg.inv((1 - shrinkage) * scatter + shrinkage * sphere)
    away = query.astype(np.float64) - means
    return -0.5 * np.einsum("cd,de,ce->c", away, precision, away)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    counts=st.lists(st.integers(2, 6), min_size=2, max_size=5),
    dimension=st.integers(2, 40),  # on both sides of the number of exemplars
    shrinkage=st.sampled_from([0.05, 0.3, 0.7, 0.99, 1.0]),
)
def test_leave_one_out_equals_leaving_each_out(seed, counts, dimension, shrinkage):
    if sum(counts) - len(counts) < 2:
        return
    vectors, labels = sample(seed, counts, dimension)
    rows = np.arange(len(labels))
    fast = SharedGaussian(vectors, labels).leave_one_out(rows, shrinkage)
    for row in rows:
        kept = rows != row
        slow = brute_force(vectors[kept], labels[kept], shrinkage, vectors[row])
        assert fast[row] == pytest.approx(slow, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("dimension", [6, 30])
@pytest.mark.parametrize("shrinkage", [0.1, 0.5, 1.0])
def test_the_linear_form_gives_the_same_posterior(shrinkage, dimension):
    vectors, labels = sample(3, [4, 5, 3], dimension)
    weights, biases = SharedGaussian(vectors, labels).linear(shrinkage)
    queries = np.random.default_rng(1).normal(size=(10, dimension)).astype(np.float32)
    linear = queries @ weights.T + biases
    exact = np.stack([brute_force(vectors, labels, shrinkage, q) for q in queries])
    # Equal up to a constant a query, which a softmax does not see.
    assert np.allclose(
        linear - linear.mean(axis=1, keepdims=True),
        exact - exact.mean(axis=1, keepdims=True),
        rtol=1e-4,
        atol=1e-3,
    )


def test_leaving_out_leaves_the_covariance_too():
    # With more dimensions than samples a covariance that kept the sample would know it.
    vectors, labels = sample(5, [3] * 8, 200)
    noise = np.random.default_rng(2).permutation(labels)
    gaussian = SharedGaussian(vectors, noise)
    rows = np.arange(len(noise))
    right = gaussian.leave_one_out(rows, 0.05).argmax(axis=1) == noise
    assert right.mean() < 0.4
