from dataclasses import replace

import faiss
import numpy as np
import pytest

from rar_agent.errors import DamagedDataError, InputError
from rar_agent.memory.index.read import open_index
from tests.memory.index.conftest import COUNT, DIMENSION, clustered

ROWS = clustered(1_000, 16)[0]


def opened(index, path, spec, flags=0):
    faiss.write_index(index, str(path), flags)
    return open_index(path, spec, ROWS)


def small(built, kind):
    spec = replace(built.specs[kind], count=1_000, dimension=16)
    return replace(spec, lists=8, codes=4, effort=4) if kind != "hnsw" else spec


def graph(links=16, dimension=16, metric=faiss.METRIC_INNER_PRODUCT, count=1_000):
    index = faiss.IndexHNSWFlat(dimension, links, metric)
    index.add(np.ascontiguousarray(ROWS[:count, :dimension]))
    return index


def lists(number=8, metric=faiss.METRIC_INNER_PRODUCT, codes=0, quantizer=None, train=True):
    coarse = quantizer or faiss.IndexFlatIP(16)
    if codes:
        index = faiss.IndexIVFPQ(coarse, 16, number, codes, 4, metric)
    else:
        index = faiss.IndexIVFFlat(coarse, 16, number, metric)
    index.cp.min_points_per_centroid = 1
    if train:
        index.train(ROWS)
        index.add(ROWS)
    return index


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivf-pq"])
def test_a_file_of_another_kind_dimension_or_count_is_damaged(built, kind):
    path, spec = built.path(kind), built.specs[kind]
    others = [other for other in built.specs if other != kind]
    for other in others:
        with pytest.raises(DamagedDataError, match=r"type|loop_limit"):
            open_index(built.path(other), spec, built.vectors)
    with pytest.raises(DamagedDataError, match=f"count {COUNT}, not {COUNT - 1}"):
        open_index(path, replace(spec, count=COUNT - 1), built.vectors[:-1])
    halved = np.ascontiguousarray(built.vectors[:, : DIMENSION // 2])
    with pytest.raises(DamagedDataError, match=f"dimension {DIMENSION}, not {DIMENSION // 2}"):
        open_index(path, replace(spec, dimension=DIMENSION // 2), halved)
    with pytest.raises(InputError):
        open_index(path, spec, built.vectors[:-1])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: graph(links=12), "links 12"),
        (lambda: graph(metric=faiss.METRIC_L2), "metric 1"),
        (lambda: faiss.index_factory(16, "HNSW16,SQ8", faiss.METRIC_INNER_PRODUCT), "type"),
        (lambda: faiss.IndexFlatIP(16), "type IndexFlatIP"),
        (lambda: faiss.IndexIDMap(faiss.IndexFlatIP(16)), "type"),
    ],
)
def test_another_graph_is_damaged(built, tmp_path, make, said):
    index = make()
    with pytest.raises(DamagedDataError, match=said):
        opened(index, tmp_path / "x", small(built, "hnsw"), faiss.IO_FLAG_SKIP_STORAGE)


def test_a_graph_with_vectors_of_its_own_is_refused(built, tmp_path):
    """They would be searched instead of the memory's."""
    with pytest.raises(DamagedDataError, match="vectors of its own True"):
        opened(graph(), tmp_path / "x", small(built, "hnsw"))


@pytest.mark.parametrize(
    ("kind", "make", "said"),
    [
        ("ivf", lambda: lists(4), "lists 4"),
        ("ivf", lambda: lists(metric=faiss.METRIC_L2), "metric 1"),
        ("ivf", lambda: lists(train=False), "trained False"),
        ("ivf", lambda: lists(quantizer=faiss.IndexHNSWFlat(16, 4, 0)), "centroids IndexHNSWFlat"),
        ("ivf", lambda: lists(codes=4), "type"),
        ("ivf-pq", lambda: lists(codes=8), "codes 8"),
        ("ivf-pq", lambda: lists(codes=4), "bits 4"),
    ],
)
def test_other_lists_are_damaged(built, tmp_path, kind, make, said):
    with pytest.raises(DamagedDataError, match=said):
        opened(make(), tmp_path / "x", small(built, kind))


def test_more_lists_than_planned_are_not_even_parsed(built, tmp_path):
    with pytest.raises(DamagedDataError, match="cannot be parsed"):
        opened(lists(100), tmp_path / "x", small(built, "ivf"))


def test_lists_that_lost_rows_are_damaged(built, tmp_path):
    index = lists()
    index.invlists.resize(0, 0)
    with pytest.raises(DamagedDataError, match="list rows"):
        opened(index, tmp_path / "x", small(built, "ivf"))


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivf-pq"])
def test_a_short_or_missing_file_is_damaged_and_limits_are_put_back(built, tmp_path, kind):
    content = built.path(kind).read_bytes()
    spec = built.specs[kind]
    for share in (0, 0.01, 0.5, 0.999):
        path = tmp_path / "x"
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DamagedDataError, match="cannot be parsed"):
            open_index(path, spec, built.vectors)
    with pytest.raises(DamagedDataError):
        open_index(tmp_path / "none", spec, built.vectors)
    assert faiss.get_deserialization_vector_byte_limit() == 1 << 40
    assert faiss.get_deserialization_loop_limit() == 0


def test_a_length_beyond_the_file_is_refused_before_memory_is_taken(built, tmp_path):
    """The first vector of HNSW's file says how long it is: here 2 ** 36 doubles."""
    content = bytearray(built.path("hnsw").read_bytes())
    start = content.index(
        np.uint64(len(faiss.vector_to_array(graph().hnsw.assign_probas))).tobytes()
    )
    content[start : start + 8] = np.uint64(1 << 36).tobytes()
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DamagedDataError, match="byte_limit"):
        open_index(tmp_path / "x", built.specs["hnsw"], built.vectors)


def test_an_exact_spec_has_no_file(built):
    spec = replace(built.specs["hnsw"], kind="exact")
    with pytest.raises(DamagedDataError, match="exact has no file"):
        open_index(built.path("hnsw"), spec, built.vectors)
