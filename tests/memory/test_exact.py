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


def test_the_shortlist_has_categories_known_by_name_only(tmp_path):
    """Photos are nearer to a photo than any text is: each modality has a shortlist of its own."""
    from rar_agent.memory.format.segment import NewEntry, text_content, write_segment
    from rar_agent.memory.write import Draft
    from rar_agent.types import Category
    from tests.memory.test_generation import RECORD

    gap = np.zeros(8, np.float32)
    gap[0] = 3.0
    count = 11_000
    texts, photos = unit(3, count), normalize(unit(4, 2_000) + gap)[0]
    texts[:, 0] = 0.0  # the gap is a direction of its own
    texts = normalize(texts)[0]
    folder = tmp_path / "memories" / "m"
    draft = Draft.new(folder, RECORD, 8)
    ids = list(draft.add_categories([Category(name=f"c{i}") for i in range(count)]).values())
    entries = [NewEntry(i, "text", text_content(str(i)), "t") for i in ids]
    entries += [NewEntry(i, "image", text_content(f"p{i}"), "p") for i in ids[:2_000]]
    rows = np.concatenate([texts, photos])
    draft.segments.append(write_segment(folder, 0, entries, rows))
    draft.next_entry = len(entries)
    memory = draft.commit("ready")
    for wanted in (5_000, 10_999):
        query = normalize(texts[wanted : wanted + 1] + gap)[0]
        assert wanted in memory.shortlist(query)
