import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from rar_agent.errors import ConfigurationError
from rar_agent.evaluation.metrics import SentenceModel, measure
from rar_agent.evaluation.metrics.clusters import matched
from tests.evaluation.records import by_name, record


def test_cacc_of_a_worked_example():
    # Names' counts by category: cat {a: 2, b: 1}, dog {a: 3, b: 0}. The best matching is
    # dog-a (3) and cat-b (1), not cat-a (2): 4 of 6.
    pairs = [("cat", "a")] * 2 + [("cat", "b")] + [("dog", "a")] * 3
    records = [record(f"{i}", truth, retrieval=name) for i, (name, truth) in enumerate(pairs)]
    found = by_name(measure(records), "1-shot")["retrieval", "cACC"]
    assert found.value == pytest.approx(4 / 6)
    assert found.n == 6


def test_names_that_nothing_is_left_for_are_wrong():
    assert matched(np.array([0, 1, 2, -1]), np.array([5, 5, 5, 5])).sum() == 1
    assert not matched(np.array([-1, -1]), np.array([0, 1])).any()


@given(st.lists(st.tuples(st.integers(-1, 5), st.integers(0, 4)), min_size=1, max_size=40))
def test_matching_is_the_hungarian_one(pairs):
    first, truth = np.array(pairs).T
    table = np.zeros((6, 5))
    for name, category in pairs:
        if name >= 0:
            table[name, category] += 1
    rows, columns = linear_sum_assignment(table, maximize=True)
    agree = matched(first, truth)
    assert agree.sum() == table[rows, columns].sum()
    together = {(n, c) for (n, c), same in zip(pairs, agree, strict=True) if same}
    assert len({n for n, _ in together}) == len({c for _, c in together}) == len(together)


def test_each_cell_has_a_matching_of_its_own():
    records = [record("1", "a", "x, seed 1", knn="cat"), record("1", "a", "x, seed 2", knn="dog")]
    assert by_name(measure(records), "x")["knn", "cACC"].value == 1.0


class ByHand:
    """Three names in a plane."""

    name = "by hand"

    def encode(self, texts):
        plane = {"cat": (1, 0), "lion": (0.6, 0.8), "car": (0, 1)}
        return np.array([plane[text] for text in texts], dtype=np.float32)


def test_sacc_of_a_worked_example():
    records = [
        record("1", "cat", retrieval="cat"),
        record("2", "cat", retrieval="lion"),
        record("3", "cat", retrieval="car"),
    ]
    found = by_name(measure(records, sentences=ByHand()), "1-shot")["retrieval", "sACC"]
    assert found.value == pytest.approx((1 + 0.6 + 0) / 3)
    assert found.note == "sentence model by hand"
    assert by_name(measure(records), "1-shot")["retrieval", "sACC"].why


@pytest.fixture(scope="module")
def minilm():
    return SentenceModel()


def test_minilm_finds_near_names_nearer(minilm):
    records = [record("1", "house sparrow", retrieval="sparrow", knn="pickup truck")]
    found = by_name(measure(records, sentences=minilm), "1-shot")
    assert found["retrieval", "sACC"].value > 0.6 > 0.3 > found["knn", "sACC"].value
    assert found["retrieval", "sACC"].note == "sentence model all-MiniLM-L6-v2"


def test_a_sentence_model_that_is_not_there():
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        SentenceModel("nobody/nothing")
