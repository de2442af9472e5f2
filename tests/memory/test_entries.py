from dataclasses import replace

import numpy as np
import pytest

from rar_agent.errors import DamagedDataError
from rar_agent.memory.entries import Entries
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.types import Category
from tests.memory.arrays import begin, drawn

# Segments as they come: category of each entry, by modality; ids count up over all of them.
WRITTEN = [("image", [2, 0, 2]), ("text", [0, 1, 2]), ("image", [1, 0]), ("image", [3, 3, 0])]
REMOVED = [1, 4, 8, 9]


@pytest.fixture(scope="module")
def entries(memory):
    return memory.entries


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    draft = begin(tmp_path_factory.mktemp("entries") / "memories" / "m")
    for name in "abcd":
        draft.put(Category(name=name))
    start = 0
    for modality, categories in WRITTEN:
        new = [
            NewEntry(
                c,
                text_content(str(start + i)),
                f"source {start + i}",
                thumbnail=b"jpeg %d" % (start + i) if i else b"",
            )
            for i, c in enumerate(categories)
        ]
        draft.add_segment(modality, new, drawn(start, len(new)))
        start += len(new)
    draft.remove(REMOVED)
    return draft.commit("ready", "never")


def plain():
    """(id, modality, category, vector) of the live ones, in the order of their rows."""
    found, number = [], 0
    for modality, categories in WRITTEN:
        rows = drawn(number, len(categories))
        for i, category in enumerate(categories):
            if number + i not in REMOVED:
                found.append((number + i, modality, category, rows[i].tolist()))
        number += len(categories)
    return found


def test_the_live_ones_are_those_that_were_not_removed(entries):
    ids = [number for number, *_ in plain()]
    assert len(entries) == len(ids) == 7
    assert entries.ids.tolist() == ids == entries.live.tolist()
    assert entries.columns[entries.live].tolist() == [c for _, _, c, _ in plain()]
    assert entries.columns[REMOVED].tolist() == [-1] * len(REMOVED)
    assert entries.vectors(entries.live).tolist() == [vector for *_, vector in plain()]
    assert [entries.source(row) for row in entries.live] == [f"source {i}" for i in ids]


@pytest.mark.parametrize("modality", ["image", "text", "head"])
def test_rows_of_categories_in_the_order_asked_for(entries, modality):
    live = [(n, c) for n, m, c, _ in plain() if m == modality]
    assert entries.rows(modality).tolist() == [n for n, _ in live]
    assert entries.counts(modality).tolist() == [
        sum(c == column for _, c in live) for column in range(4)
    ]
    for wanted in ([], [0], [3], [2, 0], [0, 1, 2, 3], [3, 2, 1, 0]):
        rows = entries.rows_of(modality, np.array(wanted, np.int64))
        assert rows.tolist() == [n for column in wanted for n, c in live if c == column]


def test_rows_in_any_order_give_their_vectors_and_fields(entries):
    rows = np.array([7, 0, 10, 3, 0])
    vectors = {number: vector for number, *_, vector in plain()}
    assert entries.vectors(rows).tolist() == [vectors[row] for row in rows]
    assert entries.fields(rows)["id"].tolist() == rows.tolist()
    assert entries.vectors(rows[:0]).shape == (0, 8)
    assert entries.fields(rows[:0])["id"].tolist() == []


def test_ids_are_found_unless_they_were_removed(entries):
    for number, *_ in plain():
        row = entries.row_of(number)
        assert entries.id_of(row) == number
        assert entries.thumbnail(row) == (b"" if number in (0, 3, 6, 8) else b"jpeg %d" % number)
    assert [entries.row_of(number) for number in (*REMOVED, -1, 11, 1 << 60)] == [None] * 7


def test_a_modality_of_which_all_were_removed_is_gone(entries):
    texts = entries.rows("text")
    assert entries.modalities == ("image", "text")
    removed = np.union1d(entries.removed, texts)
    left = Entries(entries.segments, removed, entries.categories)
    assert left.modalities == ("image",)
    assert len(left) == len(entries) - len(texts)


def test_a_category_of_which_all_were_removed_is_not_known(entries):
    assert entries.known.tolist() == [True, True, True, False]
    removed = np.union1d(entries.removed, [6])
    left = Entries(entries.segments, removed, entries.categories)
    assert left.known.tolist() == [True, False, True, False]


def test_no_entries_at_all(entries):
    none = Entries((), np.empty(0, np.int64), entries.categories)
    assert len(none) == 0
    assert none.modalities == ()
    assert none.ids.tolist() == none.live.tolist() == none.rows("image").tolist() == []
    assert none.counts("image").tolist() == [0] * 4
    assert none.known.tolist() == [False] * 4


@pytest.mark.parametrize("removed", [[1, 99], [-5], [4, 1], [1, 1]])
def test_removed_entries_that_were_never_there_are_damage(memory, removed):
    draft = begin(memory.folder, memory)
    draft.removed = np.array(removed)
    with pytest.raises(DamagedDataError, match=r"data/[0-9a-f]{64}\.ids is damaged"):
        draft.commit("ready", "never")


def test_an_entry_of_no_category_is_damage(entries):
    class Fewer:
        def columns(self, ids):
            return np.where(ids == 2, -1, ids)

        def __len__(self):
            return 3

    name = entries.segments[0].ref.entries.name
    with pytest.raises(DamagedDataError, match=f"data/{name} is damaged: .* id 2"):
        _ = Entries(entries.segments, entries.removed, Fewer()).columns


def test_an_entry_that_is_there_twice_is_damage(entries):
    first = entries.segments[0]
    again = replace(first, entries=first.entries[[0, 2, 2]])
    with pytest.raises(DamagedDataError, match=f"{first.ref.entries.name} .* id 2 is there twice"):
        _ = Entries((again,), entries.removed[:0], entries.categories).columns
    with pytest.raises(DamagedDataError, match="is there twice"):
        _ = Entries((first, first), entries.removed[:0], entries.categories).columns


def test_ids_elsewhere_than_the_manifest_says_are_damage(entries):
    first = entries.segments[0]
    moved = replace(first, ref=first.ref.model_copy(update={"last_id": 7}))
    with pytest.raises(DamagedDataError, match=f"{first.ref.entries.name} .*ids are 0 to 2"):
        _ = Entries((moved,), entries.removed[:0], entries.categories).columns
