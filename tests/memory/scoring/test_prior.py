"""A prior by counts: what is frequent is answered more readily, where that is asked for."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.errors import InputError, NotFoundError
from rar_agent.memory import PriorRecord, compact_memory, fit_memory_again, open_memory
from rar_agent.memory.exchange.export import export_memory
from rar_agent.memory.exchange.importing import import_memory
from rar_agent.memory.left_out import leave_out
from rar_agent.memory.scoring.prior import count_of, log_prior
from rar_agent.types import Category
from tests.memory.arrays import clusters, drawn, memory_of

ONE = np.ones(1, np.float32)


def counted(*counts):
    """Categories with those counts; None for none."""
    return [
        Category(name=f"c{i}", metadata={} if n is None else {"image_count": n})
        for i, n in enumerate(counts)
    ]


def of_texts(home, *counts):
    return memory_of(
        home, texts=dict(enumerate(drawn(0, len(counts)))), categories=counted(*counts)
    )


def shares(memory, query):
    [found] = memory.search(query[None], ONE, k=100)
    return {candidate.category.name: candidate.probability for candidate in found.candidates}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 10**6) | st.none(), min_size=2, max_size=8).filter(any),
    st.floats(0.01, 3),
    st.integers(0, 100),
)
def test_the_posterior_times_the_counts(tmp_path_factory, counts, weight, seed):
    home = tmp_path_factory.getbasetemp() / "prior"
    before = of_texts(home, *counts)
    query = drawn(seed, 1)[0]
    plain = shares(before, query)
    memory = fit_memory_again(home, "m", PriorRecord(key="image_count", weight=weight))
    known = [math.log(n + 1) for n in counts if n is not None]
    usual = math.exp(sum(known) / len(known))
    wanted = {
        f"c{i}": plain[f"c{i}"] * (usual if n is None else n + 1) ** weight
        for i, n in enumerate(counts)
    }
    total = sum(wanted.values())
    assert shares(memory, query) == pytest.approx(
        {name: share / total for name, share in wanted.items()}, rel=1e-6, abs=1e-12
    )
    assert shares(fit_memory_again(home, "m", None), query) == plain


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (7, 7),
        (2.5, 2.5),
        ("12", 12),
        ("f", 300),
        ("r", 3),
        (0, 0),
        (-1, None),
        (math.nan, None),
        (math.inf, None),
        ("many", None),
        (True, None),
        (None, None),
        ([3], None),
        (10**400, None),
    ],
)
def test_what_is_a_count(value, count):
    assert count_of(value) == count


def test_no_count_at_all_is_no_prior():
    prior = PriorRecord(key="image_count", weight=1)
    assert log_prior(counted(None, None), prior).tolist() == [0, 0]
    assert log_prior([], prior).tolist() == []


def test_it_is_off_until_asked_for_and_stays_until_taken_away(tmp_path):
    memory = of_texts(tmp_path, 0, 99)
    assert memory.manifest.prior is None
    assert "prior" not in memory.describe_method() + memory.probability_means()
    prior = PriorRecord(key="image_count", weight=0.5)
    memory = fit_memory_again(tmp_path, "m", prior)
    assert (
        memory.describe_method() == "text: cosine with the name, prior by image_count, weight 0.5"
    )
    assert memory.probability_means().startswith("with a prior by image_count, weight 0.5, which ")
    assert "prior" not in memory.describe_method("knn") + memory.probability_means("knn")
    assert fit_memory_again(tmp_path, "m").manifest.prior == prior
    assert compact_memory(tmp_path, "m").memory.manifest.prior == prior
    export_memory(memory, tmp_path / "exported")
    assert import_memory(tmp_path, "again", tmp_path / "exported").manifest.prior == prior
    query = drawn(3, 1)[0]
    assert shares(open_memory(tmp_path, "again"), query) == shares(memory, query)
    assert fit_memory_again(tmp_path, "m", None).manifest.prior is None


def test_a_key_without_counts(tmp_path):
    of_texts(tmp_path, 3, None)
    with pytest.raises(NotFoundError, match="No category of memory 'm' has a count") as error:
        fit_memory_again(tmp_path, "m", PriorRecord(key="image_cuont", weight=1))
    assert "image_count" in str(error.value)
    assert open_memory(tmp_path, "m").manifest.generation == 1


def test_the_nearest_neighbour_stays_the_papers(tmp_path):
    before = of_texts(tmp_path, 0, 10**6, 5)
    query = drawn(4, 1)
    plain = before.search(query, ONE, method="knn")
    memory = fit_memory_again(tmp_path, "m", PriorRecord(key="image_count", weight=3))
    assert memory.search(query, ONE, method="knn") == plain
    assert memory.search(query, ONE)[0].candidates[0].category.name == "c1"


def test_calibration_does_not_hold_with_it(tmp_path):
    known = clusters(categories=12, shots=12)
    before = memory_of(tmp_path, known.by_label(), categories=counted(*range(12)))
    assert before.calibrated
    before.search(known.vectors[:1], ONE, coverage=0.9)
    memory = fit_memory_again(tmp_path, "m", PriorRecord(key="image_count", weight=1))
    assert not memory.calibrated
    with pytest.raises(InputError, match="with a prior by image_count, weight 1") as raised:
        memory.search(known.vectors[:1], ONE, coverage=0.9)
    assert "rar-agent memory fit m --no-prior" in str(raised.value)
    assert "teach it" not in str(raised.value)
    with pytest.raises(InputError, match="--no-prior"):
        leave_out(memory)
    assert fit_memory_again(tmp_path, "m", None).calibrated
