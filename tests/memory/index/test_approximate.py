from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from rar_agent.errors import InputError
from rar_agent.memory.index.build import build_index
from rar_agent.memory.index.costs import disk_bytes
from rar_agent.memory.index.exact import nearest_exact
from rar_agent.memory.index.read import open_index
from rar_agent.memory.index.selection import Selection
from rar_agent.memory.index.spec import IndexSpec
from tests.memory.index.conftest import COUNT, clustered

KINDS = ["hnsw", "ivf", "ivf-pq"]
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_the_scores_are_those_of_an_exact_search(built, kind):
    scores, rows = built.open(kind).nearest(built.queries, 10)
    exact_scores, exact_rows = nearest_exact(built.queries, built.vectors, 10)
    same = rows == exact_rows
    assert same.mean() > 0.8
    assert np.array_equal(scores[same], exact_scores[same])
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(line)) == 10 for line in rows.tolist())


@kinds
def test_a_batch_finds_what_single_queries_find(built, kind):
    index = built.open(kind)
    scores, rows = index.nearest(built.queries, 10)
    for i, query in enumerate(built.queries):
        one = index.nearest(query[None], 10)
        assert np.array_equal(one[1][0], rows[i])
        assert np.array_equal(one[0][0], scores[i])


@kinds
@pytest.mark.parametrize("share", [0.001, 0.4, 0.95, 0.9999])
def test_removed_rows_are_never_returned_and_the_rest_is_found(built, kind, share):
    index = built.open(kind)
    nearest = nearest_exact(built.queries, built.vectors, 5)[1]
    others = np.random.default_rng(3).permutation(COUNT)
    others = others[~np.isin(others, nearest)]
    gone = np.concatenate([np.unique(nearest)[:200], others])[: int(COUNT * share)]
    selection = Selection(COUNT, removed=gone)
    scores, rows = index.nearest(built.queries, 10, selection)
    found = rows[rows >= 0]
    assert not np.isin(found, gone).any()
    least = nearest_exact(built.queries, built.vectors, 10, selection)[0][:, -1:]
    assert np.mean(scores >= least) > 0.9


@kinds
def test_few_allowed_rows_are_searched_exactly(built, kind):
    allowed = np.arange(100, 4_000, 7)
    selection = Selection(COUNT, allowed=allowed)
    got = built.open(kind).nearest(built.queries, 10, selection)
    exact = nearest_exact(built.queries, built.vectors, 10, selection)
    assert np.array_equal(got[0], exact[0])
    assert np.array_equal(got[1], exact[1])
    assert built.open(kind).nearest(built.queries, 10, Selection(COUNT, allowed=[4]))[1].shape == (
        len(built.queries),
        1,
    )


def test_what_is_not_found_is_padded(built):
    """One list of 256 has fewer than 2,000 rows."""
    index = built.open("ivf").with_effort(1)
    scores, rows = index.nearest(built.queries[:3], 2_000)
    assert scores.shape == rows.shape == (3, 2_000)
    assert (rows[:, -1] == -1).all()
    assert np.array_equal(rows == -1, np.isneginf(scores))
    assert (rows[:, 0] >= 0).all()


@kinds
def test_eight_threads_find_what_one_finds(built, kind):
    index = built.open(kind)
    selections = [None, Selection(COUNT, removed=np.arange(0, COUNT, 3))]
    expected = [index.nearest(built.queries, 10, selection) for selection in selections]
    alone = [index.nearest(query[None], 10) for query in built.queries[:50]]

    def work(number):
        got = index.nearest(built.queries, 10, selections[number % 2])
        ones = [index.nearest(query[None], 10) for query in built.queries[:50]]
        return got, ones

    with ThreadPoolExecutor(8) as pool:
        for number, (got, ones) in enumerate(pool.map(work, range(24))):
            assert np.array_equal(got[0], expected[number % 2][0])
            assert np.array_equal(got[1], expected[number % 2][1])
            assert all(np.array_equal(a[1], b[1]) for a, b in zip(ones, alone, strict=True))


def test_another_effort_leaves_the_first_index_usable(built):
    """Both walk the same graph, over vectors that neither owns."""
    index = built.open("hnsw")
    before = index.nearest(built.queries, 10)
    wide = index.with_effort(500)
    assert wide.spec.effort == 500
    del wide
    after = index.nearest(built.queries, 10)
    assert np.array_equal(before[1], after[1])
    narrow = index.with_effort(1)
    assert not np.array_equal(narrow.nearest(built.queries, 10)[1], after[1])
    del index
    narrow.nearest(built.queries, 10)


@kinds
def test_the_same_seed_writes_the_same_file(tmp_path, built, kind):
    rows, _, _ = clustered(3_000, 32)
    spec = replace(built.specs[kind], count=3_000, dimension=32)
    spec = replace(spec, lists=min(spec.lists, 32), codes=4 if kind == "ivf-pq" else 0)
    spec = replace(spec, effort=8)
    files = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build_index(rows, spec, tmp_path / name, seed=seed)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]


@kinds
def test_the_file_has_the_size_that_was_planned(built, kind):
    """So HNSW's file holds no vectors, and IVF-PQ's only codes."""
    size = built.path(kind).stat().st_size
    assert size == pytest.approx(disk_bytes(built.specs[kind]), rel=0.01)


def test_progress_is_told_by_chunk_and_may_stop_the_build(tmp_path):
    rows = np.tile(clustered(1_000, 8)[0], (140, 1))
    spec = IndexSpec("ivf", 140_000, 8, lists=4, effort=2)
    told = []
    build_index(rows, spec, tmp_path / "x", progress=lambda *done: told.append(done))
    assert told == [(65_536, 140_000), (131_072, 140_000), (140_000, 140_000)]
    assert len(open_index(tmp_path / "x", spec, rows)) == 140_000

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(rows, spec, tmp_path / "y", progress=stop)
    assert not (tmp_path / "y").exists()


def test_other_vectors_or_exact_are_not_built(tmp_path, built):
    with pytest.raises(InputError):
        build_index(built.vectors[:-1], built.specs["ivf"], tmp_path / "x")
    spec = replace(built.specs["ivf"], kind="exact")
    with pytest.raises(InputError):
        build_index(built.vectors, spec, tmp_path / "x")
