"""Search over more categories than are scored at once, and what filters leave."""

import numpy as np
import pytest

from rar_agent.encoders.base import normalize
from rar_agent.errors import InputError
from rar_agent.memory import Filter, search
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.search import ALL_SCORED, SHORTLIST
from rar_agent.types import Category
from tests.memory.arrays import begin, clusters, drawn, memory_of
from tests.memory.format.committed import extend

MANY = ALL_SCORED + 2_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """12,000 categories of one exemplar: more than are scored without a shortlist."""
    folder = tmp_path_factory.mktemp("large") / "memories" / "m"
    draft = begin(folder)
    numbers = [
        draft.put(Category(name=f"c{i}", parent=f"group {i % 3}", metadata={"number": i}))
        for i in range(MANY)
    ]
    entries = [NewEntry(n, text_content(f"{n}"), f"/photos/{n}.jpg") for n in numbers]
    draft.add_segment("image", entries, drawn(0, MANY))
    return draft.commit("ready")


def similarities(memory, queries, method):
    """Cosines with all exemplars; of what is centred, by the rule for single exemplars."""
    origin = memory.fit.origin if method == "fitted" else 0.0
    rows = (memory.entries.vectors(memory.entries.live) - origin).astype(np.float32)
    return normalize((queries - origin).astype(np.float32))[0] @ normalize(rows)[0].T


def test_over_ten_thousand_categories_a_shortlist_is_scored(large):
    queries = drawn(2, 10)
    found = large.search(queries, np.ones(10, np.float32), k=5)
    cosines = similarities(large, queries, "fitted")
    for query, result in zip(cosines, found, strict=True):
        expected = [f"c{i}" for i in np.argsort(-query)[:5]]
        assert [c.category.name for c in result.candidates] == expected
        assert sum(c.probability for c in result.candidates) <= 1


@pytest.mark.parametrize("method", ["fitted", "knn"])
def test_a_filtered_shortlist_holds_only_what_is_allowed(large, method):
    """Some branches (still more than are scored at once) and a few categories."""
    queries = drawn(3, 5)
    cosines = similarities(large, queries, method)
    # All but the nearest of each query, over ten thousand; then 40.
    nearest = set(cosines.argmax(axis=1).tolist())
    for allowed in (
        {i for i in range(MANY) if i not in nearest},
        set(range(0, MANY, 300)),
    ):
        within = Filter(where=lambda c, allowed=allowed: c.metadata["number"] in allowed)
        found = large.search(queries, np.ones(5, np.float32), k=5, method=method, within=within)
        columns = np.array(sorted(allowed))
        for query, result in zip(cosines, found, strict=True):
            best = columns[np.argsort(-query[columns])[:5]]
            assert [c.category.name for c in result.candidates] == [f"c{i}" for i in best]
    [found] = large.search(queries[:1], np.ones(1, np.float32), k=100, method=method, within=within)
    assert len(found.candidates) == 40


def test_branches_of_a_shortlist_sum_up(large):
    [found] = large.search(drawn(4, 1), np.ones(1, np.float32), k=MANY)
    assert len(found.candidates) == SHORTLIST
    assert sum(c.probability for c in found.candidates) == pytest.approx(1.0)
    assert sum(b.probability for b in found.branches) == pytest.approx(1.0)
    assert sum(b.categories for b in found.branches) == SHORTLIST
    for branch in found.branches:
        inside = [c.probability for c in found.candidates if c.category.parent == branch.name]
        assert branch.probability == pytest.approx(sum(inside))
        assert branch.categories == len(inside)


def test_the_shortlist_has_categories_known_by_name_only(tmp_path):
    """Photos are nearer to a photo than any text is: each modality has a shortlist of its own."""
    gap = np.zeros(8, np.float32)
    gap[0] = 3.0
    count = 11_000
    texts, photos = drawn(3, count), normalize(drawn(4, 2_000) + gap)[0]
    texts[:, 0] = 0.0  # the gap is a direction of its own
    texts = normalize(texts)[0]
    draft = begin(tmp_path / "memories" / "m")
    ids = [draft.put(Category(name=f"c{i}")) for i in range(count)]
    draft.add_segment("text", [NewEntry(i, text_content(str(i)), "t") for i in ids], texts)
    images = [NewEntry(i, text_content(f"p{i}"), "p") for i in ids[:2_000]]
    draft.add_segment("image", images, photos)
    memory = draft.commit("ready")
    for wanted in (5_000, 10_999):
        query = normalize(texts[wanted : wanted + 1] + gap)[0]
        [found] = memory.search(query, np.ones(1, np.float32), k=count, exemplars=0)
        assert len(found.candidates) < count
        assert f"c{wanted}" in {candidate.category.name for candidate in found.candidates}


def test_search_does_not_depend_on_how_it_was_written(tmp_path):
    """In one segment, or in many with removed entries in between."""
    vectors, gone = drawn(5, 40), drawn(6, 40)
    whole = begin(tmp_path / "memories" / "whole")
    parts = begin(tmp_path / "memories" / "parts")
    for draft in (whole, parts):
        for i in range(8):
            draft.put(Category(name=f"c{i}"))
    entries = [NewEntry(i % 8, text_content(str(i)), str(i)) for i in range(40)]
    whole.add_segment("image", entries, vectors)
    for i, entry in enumerate(entries):
        parts.add_segment("image", [entry], vectors[i : i + 1])
        parts.add_segment("image", [entry], gone[i : i + 1])
        parts.remove([parts.next_entry - 1])
    one, two = whole.commit("ready"), parts.commit("ready")
    queries, norms = drawn(7, 20), np.ones(20, np.float32)
    for method in ("fitted", "knn"):
        for a, b in zip(
            one.search(queries, norms, k=8, method=method),
            two.search(queries, norms, k=8, method=method),
            strict=True,
        ):
            assert [c.category for c in a.candidates] == [c.category for c in b.candidates]
            assert [c.probability for c in a.candidates] == pytest.approx(
                [c.probability for c in b.candidates], abs=1e-4
            )
            for c, d in zip(a.candidates, b.candidates, strict=True):
                assert [e.source for e in c.exemplars] == [e.source for e in d.exemplars]


def test_knn_within_categories_known_by_name_only(tmp_path):
    """No photo may be answered, so names are asked."""
    memory = extend(tmp_path / "memories" / "m", thumbnails=True)
    draft = begin(memory.folder, memory)
    number = draft.put(Category(name="named"))
    draft.add_segment("text", [NewEntry(number, text_content("named"), "named")], drawn(8, 1))
    memory = draft.commit("ready")
    query, norms = drawn(9, 1), np.ones(1, np.float32)
    [found] = memory.search(query, norms, within=Filter(only=("named",)))
    assert [c.probability for c in found.candidates] == [pytest.approx(1.0)]
    [found] = memory.search(query, norms, within=Filter(only=("named",)), method="knn")
    assert [c.probability for c in found.candidates] == [pytest.approx(1.0)]


@pytest.mark.parametrize("method", ["fitted", "knn"])
def test_a_filter_that_leaves_only_empty_branches_is_an_error(tmp_path, method):
    memory = extend(tmp_path / "memories" / "m")
    draft = begin(memory.folder, memory)
    draft.put(Category(name="empty", parent="above"))
    draft.put(Category(name="above"))
    memory = draft.commit("ready")
    with pytest.raises(InputError, match="no entries of the categories"):
        memory.search(
            drawn(9, 1), np.ones(1, np.float32), within=Filter(only=("above",)), method=method
        )


def test_nothing_is_calibrated_where_texts_decide_between_categories(tmp_path):
    found = clusters(categories=12, shots=12)
    images = {c: found.vectors[found.labels == c] for c in range(12)}
    texts = {c: found.vectors[found.labels == c][:1] for c in range(12)}
    assert memory_of(tmp_path / "all", images, texts).calibrated
    some = memory_of(tmp_path / "some", {c: images[c] for c in range(10)}, texts)
    assert some.manifest.fit.calibrated
    assert not some.calibrated
    assert "cannot be calibrated" in some.probability_means()


def test_a_batch_of_shortlists_is_that_of_each_query(large, monkeypatch):
    monkeypatch.setattr(search, "_AT_ONCE", 7)
    queries = drawn(8, 40)
    together = large.search(queries, np.ones(40, np.float32), k=5)
    for query, result in zip(queries, together, strict=True):
        [alone] = large.search(query[None], np.ones(1, np.float32), k=5)
        assert [c.category for c in alone.candidates] == [c.category for c in result.candidates]
        assert [c.score for c in alone.candidates] == pytest.approx(
            [c.score for c in result.candidates], abs=1e-5
        )
