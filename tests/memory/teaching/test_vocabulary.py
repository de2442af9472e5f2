"""Vocabularies from annotation files as memories: names that read, branches, and many of them."""

import numpy as np

from rar_agent.memory import add_to_memory, create_memory, names_reader, open_memory
from rar_agent.memory.readers import Sample, SampleReader
from rar_agent.types import Category
from tests.memory.readers.test_annotations import LVIS, written
from tests.memory.readers.test_tree import given_files


def names(memory):
    """Of categories, and of branches that are on record."""
    known = memory.entries.known.tolist()
    every = [c.name for c in memory.categories]
    return (
        [name for name, is_known in zip(every, known, strict=True) if is_known],
        [name for name, is_known in zip(every, known, strict=True) if not is_known],
    )


def test_names_are_encoded_as_they_read(tmp_path, encoder):
    memory = create_memory(tmp_path, "lvis", encoder, names_reader(written(tmp_path, LVIS))).memory
    assert names(memory) == (["alarm_clock", "bow_(decorative_ribbons)"], [])
    [row] = memory.entries.rows_of("text", np.array([0]))
    assert memory.entries.vectors(np.array([row]))[0] @ encoder.encode_texts(["alarm clock"])[0] > (
        0.999
    )


def test_branches_are_above_and_never_answered(tmp_path, encoder):
    reader = names_reader(*given_files(tmp_path))
    memory = create_memory(tmp_path, "m", encoder, reader).memory
    categories, branches = names(memory)
    assert categories == ["crane", "sandhill crane", "bird", "nowhere"]
    assert sorted(branches) == ["crane (n3)", "entity", "machine"]
    assert memory.category_count == 4
    at = memory.categories.find("sandhill crane")
    assert memory.taxonomy.above(at) == ("crane (n3)", "bird", "entity")
    vectors = memory.entries.vectors(memory.entries.rows("text"))
    [found] = memory.search(vectors[:1], np.ones(1, np.float32), k=10)
    assert {c.category.name for c in found.candidates} == set(categories)
    shares = {branch.name: branch.probability for branch in found.branches}
    share = {c.category.name: c.probability for c in found.candidates}
    assert abs(shares["entity"] + share["nowhere"] - 1) < 1e-9
    assert abs(shares["bird"] - share["bird"] - share["sandhill crane"]) < 1e-9
    assert shares["machine"] == share["crane"]


def test_the_same_file_again_changes_nothing_and_a_branch_may_be_taught(tmp_path, encoder):
    reader = names_reader(*given_files(tmp_path))
    first = create_memory(tmp_path, "m", encoder, reader).memory
    again = add_to_memory(tmp_path, "m", encoder, reader).memory
    assert list(again.categories) == list(first.categories)
    assert names(again) == names(first)
    named = SampleReader([Sample(Category(name="machine"), None, "by hand")])
    taught = add_to_memory(tmp_path, "m", encoder, named).memory
    assert "machine" in names(taught)[0]
    assert taught.categories[taught.categories.find("machine")].parent == "entity"
    assert list(open_memory(tmp_path, "m").categories) == list(taught.categories)


def test_thousands_of_names(tmp_path, encoder):
    count = 1_203
    categories = [{"id": i, "name": f"thing_{i}", "image_count": i} for i in range(count)]
    tree = {
        "categoryid2treeid": {str(i): f"n{i}" for i in range(count)},
        "id2name": {f"n{i}": f"node {i}" for i in range(2 * count)},
        "child2father": {f"n{i}": [f"n{count + i // 3}"] for i in range(2 * count - 1)},
    }
    told = []
    reader = names_reader(*given_files(tmp_path, tree, categories))
    memory = create_memory(
        tmp_path, "m", encoder, reader, progress=lambda *done: told.append(done)
    ).memory
    assert told[0] == (0, 0)
    assert told[1:] == [(min(256 * i, count), count) for i in range(1, 6)]
    assert memory.category_count == count
    texts = memory.entries.rows_of("text", np.arange(len(memory.categories))[memory.entries.known])
    found = memory.search(memory.entries.vectors(texts[::100]), np.ones(13, np.float32))
    assert [one.candidates[0].category.metadata["id"] for one in found] == list(
        range(0, count, 100)
    )
    for one in found:
        by_name = {branch.name: branch for branch in one.branches}
        for name, branch in by_name.items():
            assert branch.categories == memory.entries.known[memory.taxonomy.below(name)].sum()
