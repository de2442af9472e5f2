import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.memory.scoring.products import products


@given(st.integers(0, 9), st.integers(1, 40), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_each_is_the_same_whatever_is_asked_beside_it(q, n, d, seed):
    random = np.random.default_rng(seed)
    queries = random.standard_normal((q, d)).astype(np.float32)
    rows = random.standard_normal((n, d)).astype(np.float32)
    found = products(queries, rows)
    assert found.shape == (q, n)
    assert found.dtype == np.float32
    alone = [products(one[None], rows[at : at + 1]) for one in queries for at in range(n)]
    assert np.array_equal(found.ravel(), np.array(alone, np.float32).ravel())
    exact = queries.astype(np.float64) @ rows.astype(np.float64).T
    assert np.allclose(found, exact, atol=1e-4)
