from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.errors import InputError
from rar_agent.memory.index.costs import build_seconds, bytes_held, disk_bytes, query_ms
from rar_agent.memory.index.plan import plan_index
from rar_agent.memory.index.spec import KINDS, IndexSpec

counts = st.integers(1, 10**9) | st.integers(1, 300_000) | st.integers(9_990, 10_010)
dimensions = st.integers(1, 4_096) | st.sampled_from([1, 2, 3, 4, 384, 509, 512, 768, 1_280])
memory = st.integers(0, 10**13) | st.integers(0, 10**9)
recalls = st.floats(0.01, 1) | st.just(1.0)
modalities = st.sampled_from(["image", "text", "head"])
GB = 10**9


def quality(plan):
    return -KINDS.index(plan.spec.kind)


@settings(max_examples=400, deadline=None)
@given(counts, dimensions, memory, recalls, modalities)
def test_every_size_has_a_plan_that_holds_together(count, dimension, ram, recall, modality):
    plan = plan_index(count, dimension, ram, recall, modality)
    assert plan == plan_index(count, dimension, ram, recall, modality)
    assert [one.spec.kind for one in plan.considered] == list(KINDS)
    taken = [one for one in plan.considered if one.verdict == "taken"]
    assert [one.spec for one in taken] == [plan.spec]
    assert all(one.verdict for one in plan.considered)
    assert (plan.spec.count, plan.spec.dimension) == (count, dimension)
    assert plan.ram_bytes == taken[0].ram_bytes == bytes_held(plan.spec)
    assert (plan.disk_bytes == 0) == (plan.spec.kind == "exact")
    assert plan.query_ms > 0
    assert plan.build_seconds >= 0
    assert plan.reason.endswith(".")
    assert plan.spec.effort <= max(4_096, plan.spec.lists)
    if plan.spec.codes:
        assert dimension % plan.spec.codes == 0
    if recall == 1:
        assert plan.spec.kind == "exact"
    elif count > 100_000:
        assert plan.spec.kind != "exact"
    elif ram >= 4 * count * dimension:
        assert plan.spec.kind == "exact"


@settings(max_examples=400, deadline=None)
@given(counts, dimensions, memory, recalls, modalities)
def test_a_plan_that_fits_is_preferred(count, dimension, ram, recall, modality):
    plan = plan_index(count, dimension, ram, recall, modality)
    if plan.ram_bytes > ram:
        able = [one for one in plan.considered if one.verdict.startswith(("taken", "needs"))]
        assert plan.ram_bytes == min(one.ram_bytes for one in able)
        assert "wait for the disk" in plan.reason


@settings(max_examples=400, deadline=None)
@given(counts, dimensions, memory, memory, recalls, modalities)
def test_more_memory_never_gives_a_worse_kind(count, dimension, one, other, recall, modality):
    less, more = (
        plan_index(count, dimension, ram, recall, modality) for ram in sorted((one, other))
    )
    assert quality(more) >= quality(less)


@settings(max_examples=400, deadline=None)
@given(counts, counts, dimensions, memory, recalls, modalities)
def test_fewer_rows_never_give_a_worse_kind(one, other, dimension, ram, recall, modality):
    few, many = (
        plan_index(count, dimension, ram, recall, modality) for count in sorted((one, other))
    )
    assert quality(few) >= quality(many)
    assert few.spec.lists <= many.spec.lists or few.spec.kind != many.spec.kind


@settings(max_examples=200, deadline=None)
@given(counts, dimensions, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_more_recall_never_takes_less_effort(count, dimension, one, other):
    low, high = (plan_index(count, dimension, 10**13, recall) for recall in sorted((one, other)))
    assert low.spec.effort <= high.spec.effort
    assert (
        high.spec.effort
        <= plan_index(count, dimension, 10**13, max(one, other), "text").spec.effort
    )


@pytest.mark.parametrize(
    ("count", "ram", "kind"),
    [
        (100_000, 1 * GB, "exact"),
        (100_001, 1 * GB, "hnsw"),
        (1_000_000, 3 * GB, "hnsw"),
        (1_000_000, int(2.1 * GB), "ivf"),
        (1_000_000, 1 * GB, "ivf-pq"),
        (10_000_000, 24 * GB, "hnsw"),
        (10_000_000, 12 * GB, "ivf-pq"),
        (1_000_000_000, 24 * GB, "ivf-pq"),
    ],
)
def test_sizes_of_512_dimensions(count, ram, kind):
    assert plan_index(count, 512, ram).spec.kind == kind


def test_ten_million_rows_on_paper():
    plan = plan_index(10_000_000, 512, 24 * GB)
    lean = plan_index(10_000_000, 512, 8 * GB)
    assert plan.disk_bytes == 2_080_000_000
    assert plan.ram_bytes == 20_480_000_000 + plan.disk_bytes
    assert 1_800 < plan.build_seconds < 4 * 3_600
    assert plan.query_ms < 10
    assert lean.spec.lists == 16_384
    assert lean.spec.codes == 64
    assert lean.ram_bytes < 1.0 * GB


@pytest.mark.parametrize(
    ("spec", "seconds", "milliseconds"),
    [  # measured: see costs.py
        (IndexSpec("exact", 100_000, 512), 0, 5.4),
        (IndexSpec("hnsw", 100_000, 512, 24, 80, effort=32), 9.6, 0.125),
        (IndexSpec("hnsw", 1_000_000, 512, 24, 80, effort=128), 197, 0.664),
        (IndexSpec("ivf", 100_000, 512, lists=1024, effort=32), 4.2, 0.430),
        (IndexSpec("ivf-pq", 100_000, 512, 0, 0, 1024, 64, 32, 20), 9.8, 0.319),
    ],
)
def test_the_formulas_agree_with_what_was_measured(spec, seconds, milliseconds):
    assert build_seconds(spec) == pytest.approx(seconds, rel=0.5)
    assert query_ms(spec) == pytest.approx(milliseconds, rel=0.5)


@pytest.mark.parametrize(
    "arguments", [(0, 8, 1), (1, 0, 1), (1, 8, -1), (1, 8, 1, 0), (1, 8, 1, 2)]
)
def test_impossible_sizes_are_refused(arguments):
    with pytest.raises(InputError, match="cannot be planned"):
        plan_index(*arguments)


@pytest.mark.parametrize(
    "change",
    [{"kind": "flat"}, {"count": 0}, {"effort": 0}, {"codes": 5}, {"lists": 0}, {"lists": 999}],
)
def test_impossible_indexes_are_refused(change):
    good = IndexSpec("ivf-pq", 500, 64, lists=16, codes=8, effort=4)
    with pytest.raises(InputError) as error:
        replace(good, **change)
    assert error.value.fix


def test_an_exact_search_has_no_file():
    assert disk_bytes(IndexSpec("exact", 5, 8)) == 0
