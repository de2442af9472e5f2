import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.encoders.base import normalize
from rar_agent.memory.fit import fit_exemplars
from rar_agent.memory.score import Rows, Scorer

D = 16


def unit(seed, count):
    return normalize(np.random.default_rng(seed).normal(size=(count, D)).astype(np.float32))[0]


def rows(vectors, lengths=None, biases=None):
    count = len(vectors)
    return Rows(
        vectors,
        np.ones(count, np.float32) if lengths is None else lengths,
        np.zeros(count, np.float32) if biases is None else biases,
    )


def scorer(count, text=True, taught=(), head=None):
    taught = np.array(taught, np.int32)
    fit = None
    if len(taught):
        labels = np.repeat(taught, 2)
        fit = fit_exemplars(unit(5, len(labels)), labels, None, names_help=True)
    texts = rows(unit(7, count)) if text else None
    return Scorer(count, 10.0, texts, head, fit, taught)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 12),
    taught=st.sets(st.integers(0, 11)),
    text=st.booleans(),
    seed=st.integers(0, 999),
)
def test_every_posterior_sums_to_one(count, taught, text, seed):
    taught = sorted(c for c in taught if c < count)
    if not text and not taught:
        return
    posterior = scorer(count, text, taught).log_posterior(unit(seed, 3), np.ones(3, np.float32))
    assert posterior.shape == (3, count)
    assert np.exp(posterior).sum(axis=1) == pytest.approx(1)


def test_head_rows_give_the_classifiers_own_softmax():
    random = np.random.default_rng(0)
    weights, bias = random.normal(size=(8, D)).astype(np.float32), random.normal(size=8)
    vectors, lengths = normalize(weights)
    features = random.normal(size=(4, D)).astype(np.float32)
    queries, norms = normalize(features)
    head = rows(vectors, lengths, bias.astype(np.float32))
    posterior = scorer(8, text=False, head=head).log_posterior(queries, norms)
    logits = features @ weights.T + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(np.exp(posterior), expected, atol=1e-4)


def test_categories_without_photos_keep_what_their_texts_give_them():
    queries, norms = unit(1, 5), np.ones(5, np.float32)
    by_text = np.exp(scorer(6).log_posterior(queries, norms))
    mixed = np.exp(scorer(6, taught=(0, 2)).log_posterior(queries, norms))
    others = [1, 3, 4, 5]
    assert np.allclose(mixed[:, others], by_text[:, others])
    assert np.allclose(mixed[:, [0, 2]].sum(1), by_text[:, [0, 2]].sum(1))
    assert not np.allclose(mixed[:, 0], by_text[:, 0])


def test_without_texts_untaught_categories_are_impossible():
    posterior = scorer(4, text=False, taught=(1, 3)).log_posterior(
        unit(1, 2), np.ones(2, np.float32)
    )
    assert np.isneginf(posterior[:, [0, 2]]).all()


def test_a_shortlist_gives_the_full_posterior_renormalised():
    queries, norms = unit(1, 3), np.ones(3, np.float32)
    columns = np.array([0, 2, 5])
    for taught in ((), (0, 1, 2, 3, 4, 5)):
        full = np.exp(scorer(6, taught=taught).log_posterior(queries, norms))[:, columns]
        short = np.exp(scorer(6, taught=taught).log_posterior(queries, norms, columns))
        assert np.allclose(short, full / full.sum(axis=1, keepdims=True), atol=1e-6)
