import pytest

from rar_agent.errors import InputError
from rar_agent.scale.milvus.index import KINDS, MOST_FLAT, MOST_HNSW, plan_index, search_parameters


def test_few_are_exact_and_more_than_memory_holds_go_to_disk():
    kinds = [plan_index(n, 768).kind for n in (0, MOST_FLAT, MOST_FLAT + 1, MOST_HNSW, 10**9)]
    assert kinds == ["FLAT", "FLAT", "HNSW", "HNSW", "DISKANN"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "dimension"), [(0, 1), (10, 7), (10**6, 768), (10**10, 1408)])
def test_parameters_are_within_what_milvus_takes(kind, count, dimension):
    index = plan_index(count, dimension, kind)
    assert index.kind == kind
    if "nlist" in index.parameters:
        assert 1 <= index.parameters["nlist"] <= 65_536
    if kind == "IVF_PQ":
        assert dimension % index.parameters["m"] == 0
    for k in (1, 10, 16_384):
        asked = search_parameters(index, k)
        assert asked.get("ef", k) >= k
        assert asked.get("search_list", k) >= k
        assert asked.get("nprobe", 1) >= 1


def test_an_unknown_kind():
    with pytest.raises(InputError, match="no index 'flat'"):
        plan_index(1, 2, "flat")
