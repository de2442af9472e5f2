import numpy as np
import pytest

from rar_agent.encoders.base import normalize
from rar_agent.memory.exact import ExactIndex
from rar_agent.memory.memory import SHORTLIST
from tests.memory.test_generation import extend


def unit(seed, count, dimension=8):
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return normalize(rows.astype(np.float32))[0]


def test_nearest_equals_brute_force_for_one_and_many():
    vectors, queries = unit(0, 500), unit(1, 20)
    order = np.argsort(-(queries @ vectors.T), axis=1)[:, :7]
    index = ExactIndex(vectors)
    cosines, rows = index.nearest(queries, 7)
    assert np.array_equal(rows, order)
    singles = [index.nearest(query[None], 7) for query in queries]
    assert np.array_equal(np.concatenate([rows for _, rows in singles]), order)
    assert np.allclose(np.concatenate([c for c, _ in singles]), cosines, atol=1e-5)
    assert index.nearest(queries, 1_000)[1].shape == (20, 500)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """12,000 categories of one exemplar: more than are scored without a shortlist."""
    return extend(tmp_path_factory.mktemp("large") / "memories" / "m", 12_000, 1)


def test_over_ten_thousand_categories_a_shortlist_is_scored(large):
    queries = unit(2, 10)
    found = large.search(queries, np.ones(10, np.float32), k=5)
    cosines = queries @ np.asarray(large.entries.vectors).T
    for query, result in zip(cosines, found, strict=True):
        expected = [f"c{i}" for i in np.argsort(-query)[:5]]
        assert [c.category.name for c in result.candidates] == expected
        assert sum(c.probability for c in result.candidates) <= 1
    assert len(large.shortlist(queries[:1])) == SHORTLIST
