from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.errors import InputError
from rar_agent.memory.index.exact import nearest_exact
from rar_agent.memory.index.selection import Selection
from tests.memory.index.conftest import clustered, mapped, unit


def brute(queries, vectors, count, mask=None):
    scores = queries.astype(np.float64) @ np.asarray(vectors, np.float64).T
    if mask is not None:
        scores[:, ~mask] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    rows, queries, _ = clustered(70_000, 24, seed=1, queries=50)
    return mapped(tmp_path_factory.mktemp("exact"), rows), queries


def test_many_and_single_queries_equal_brute_force_to_the_last_bit(large):
    vectors, queries = large
    scores, rows = nearest_exact(queries, vectors, 10)
    assert np.array_equal(rows, brute(queries, vectors, 10))
    assert np.allclose(scores, np.take_along_axis(queries @ vectors.T, rows, 1), atol=1e-6)
    for i, query in enumerate(queries):
        single = nearest_exact(query[None], vectors, 10)
        assert np.array_equal(single[0][0], scores[i])
        assert np.array_equal(single[1][0], rows[i])


@pytest.mark.parametrize("removed", [1, 700, 3_000, 69_000])
def test_removed_rows_are_never_returned(large, removed):
    vectors, queries = large
    nearest = nearest_exact(queries, vectors, 5)[1].ravel()
    others = np.random.default_rng(0).permutation(len(vectors))
    gone = np.concatenate([nearest, np.setdiff1d(others, nearest)])[:removed]
    selection = Selection(len(vectors), removed=gone)
    expected = brute(queries, vectors, 10, selection.mask)
    assert np.array_equal(nearest_exact(queries, vectors, 10, selection)[1], expected)
    assert selection.count == len(vectors) - removed


def test_allowed_rows_only_and_removed_wins():
    vectors, queries, _ = clustered(500, 8)
    selection = Selection(500, removed=[7, 9], allowed=[3, 7, 499, 3])
    scores, rows = nearest_exact(queries, vectors, 10, selection)
    assert scores.shape == rows.shape == (len(queries), 2)
    assert {3, 499} == set(rows.ravel().tolist())
    assert np.array_equal(rows, brute(queries, vectors, 2, selection.mask))
    nothing = nearest_exact(queries, vectors, 10, Selection(500, allowed=[]))
    assert nothing[0].shape == (len(queries), 0)


@pytest.mark.parametrize("queried", [1, 2, 40])
def test_equal_rows_come_in_the_order_of_rows(queried):
    """300 copies of one row, scattered: more than are fetched at first."""
    rng = np.random.default_rng(2)
    vectors = unit(rng.normal(size=(30_000, 64)))
    copies = np.sort(rng.choice(30_000, 300, replace=False))
    vectors[copies] = vectors[copies[0]]
    queries = np.repeat(vectors[copies[:1]], queried, axis=0)
    scores, rows = nearest_exact(queries, vectors, 20)
    assert np.array_equal(rows, np.tile(copies[:20], (queried, 1)))
    assert (scores == scores[0, 0]).all()
    gone = Selection(30_000, removed=copies[5:10])
    rows = nearest_exact(queries, vectors, 20, gone)[1]
    assert np.array_equal(rows[0], np.concatenate([copies[:5], copies[10:25]]))


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(1, 60),
    dimension=st.integers(1, 20),
    wanted=st.integers(1, 80),
    distinct=st.integers(1, 60),
    data=st.data(),
)
def test_any_shape_and_selection_equals_brute_force(count, dimension, wanted, distinct, data):
    """Small whole numbers: their sums are exact, so ties are true ties."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    vectors = rng.integers(-3, 4, (distinct, dimension)).astype(np.float32)
    vectors = vectors[rng.integers(0, distinct, count)]
    queries = rng.integers(-3, 4, (3, dimension)).astype(np.float32)
    removed = data.draw(st.lists(st.integers(0, count - 1)))
    allowed = data.draw(st.none() | st.lists(st.integers(0, count - 1)))
    selection = Selection(count, removed, allowed)
    allowed_set = set(range(count) if allowed is None else allowed) - set(removed)
    assert selection.rows.tolist() == sorted(allowed_set)
    rows = nearest_exact(queries, vectors, wanted, selection)[1]
    assert np.array_equal(
        rows, brute(queries, vectors, wanted, selection.mask)[:, : len(allowed_set)]
    )


def test_the_mapped_vectors_are_not_copied(tmp_path):
    """The private memory of the process does not grow by the size of the file."""
    vectors = mapped(tmp_path, unit(np.random.default_rng(0).normal(size=(150_000, 64))))
    queries = np.array(vectors[:100])
    nearest_exact(queries[:2], vectors[:1_000], 5)  # what FAISS and BLAS keep for themselves

    def private():
        with Path("/proc/self/smaps_rollup").open() as file:
            lines = [line for line in file if line.startswith("Anonymous:")]
        return int(lines[0].split()[1]) * 1024

    try:
        before = private()
    except OSError:
        pytest.skip("only Linux says how much memory is private")
    nearest_exact(queries[:1], vectors, 5)
    nearest_exact(queries, vectors, 5)
    assert private() - before < vectors.nbytes / 2


@pytest.mark.parametrize(
    ("queries", "vectors", "count", "selection"),
    [
        (np.ones((1, 3), np.float32), np.ones((5, 4), np.float32), 1, None),
        (np.ones(4, np.float32), np.ones((5, 4), np.float32), 1, None),
        (np.ones((1, 4), np.float32), np.ones((5, 4), np.float64), 1, None),
        (np.ones((1, 4), np.float32), np.ones((4, 5), np.float32).T, 1, None),
        (np.ones((1, 4), np.float32), np.ones((5, 4), np.float32), 0, None),
        (np.ones((1, 4), np.float32), np.ones((5, 4), np.float32), 1, Selection(6)),
        (np.full((1, 4), np.nan, np.float32), np.ones((5, 4), np.float32), 1, None),
    ],
)
def test_what_does_not_fit_together_is_refused(queries, vectors, count, selection):
    with pytest.raises(InputError) as error:
        nearest_exact(queries, vectors, count, selection)
    assert error.value.fix


@pytest.mark.parametrize("rows", [[-1], [5], [0.5], [True]])
def test_a_selection_of_rows_that_do_not_exist_is_refused(rows):
    with pytest.raises(InputError):
        Selection(5, removed=rows)
    with pytest.raises(InputError):
        Selection(5, allowed=rows)
