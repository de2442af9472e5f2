"""Small segments and layers merge by themselves, and nothing else changes."""

import numpy as np
import pytest

from rar_agent.memory import compact_memory, open_memory
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.teaching import merge
from rar_agent.types import Category
from tests.memory.arrays import begin, drawn
from tests.memory.format.committed import contents, leftovers

ADDED = 200


def by_id(memory):
    """All that is known of each entry, whatever segment it is in."""
    rows = memory.entries.live
    found = {}
    for row, vector, field in zip(
        rows, memory.entries.vectors(rows), memory.entries.fields(rows), strict=True
    ):
        found[int(field["id"])] = (
            memory.categories[int(memory.entries.columns[row])],
            int(field["modality"]),
            bytes(field["content"]),
            memory.entries.source(int(row)),
            memory.entries.thumbnail(int(row)),
            vector.tolist(),
        )
    return found


def small(memory, modality):
    return sum(s.modality == modality and s.count < merge.SMALL for s in memory.manifest.segments)


@pytest.mark.slow
def test_hundreds_of_single_additions(tmp_path):
    folder, memory = tmp_path / "memories" / "m", None
    vectors, most, expected = drawn(0, 2 * ADDED), 0, {}
    for i in range(ADDED):
        draft = begin(folder, memory)
        category = Category(name=f"c{i % 7}" if i % 3 else f"only {i}", description=f"at {i}")
        number = draft.find(category.name)
        number = draft.put(category, number)  # a changed description each time: one layer each
        for c in draft.numbers():  # what is said later of a category counts for all its entries
            assert draft.category(c)
        entry = NewEntry(
            number, text_content(f"{i}"), f"s{i}", thumbnail=b"%d" % i if i % 2 else b""
        )
        expected[draft.next_entry] = (number, 0, vectors[2 * i].tolist(), f"s{i}")
        draft.add_segment("image", [entry], vectors[2 * i : 2 * i + 1])
        text = NewEntry(number, text_content(f"t{i}"), f"t{i}")
        expected[draft.next_entry] = (number, 1, vectors[2 * i + 1].tolist(), f"t{i}")
        draft.add_segment("text", [text], vectors[2 * i + 1 : 2 * i + 2])
        if i % 10 == 9:
            gone = [e for e in sorted(expected) if e % 17 == 5][:1]
            for entry_id in gone:
                del expected[entry_id]
            draft.remove(gone)
        before = by_id(memory) if memory and i % 50 == 0 else None
        memory = draft.commit("ready", "never")
        if before is not None:
            after = by_id(memory)
            for entry_id, known in before.items():
                if entry_id in expected:
                    assert after[entry_id][1:] == known[1:]
        most = max(
            most, *(small(memory, m) for m in ("image", "text")), len(memory.manifest.layers)
        )
    assert most <= merge.MOST_SMALL
    found = by_id(open_memory(tmp_path, "m"))
    assert found.keys() == expected.keys()
    for entry_id, (number, modality, vector, source) in expected.items():
        category, *known = found[entry_id]
        column = memory.categories.columns(np.array([number]))[0]
        assert category == memory.categories[int(column)]
        assert (known[0], known[4], known[2]) == (modality, vector, source)
    names = {f"c{i % 7}" if i % 3 else f"only {i}": f"at {i}" for i in range(ADDED)}
    assert {c.name: c.description for c in memory.categories} == names
    assert leftovers(folder) == []


def test_merging_changes_no_answer(tmp_path, monkeypatch):
    """The same additions with and without it."""
    monkeypatch.setattr(merge, "MOST_SMALL", 3)
    answers = []
    for name, small_rows in (("never", 0), ("often", 4_096), ("some", 6)):
        monkeypatch.setattr(merge, "SMALL", small_rows)
        memory = None
        for i in range(20):
            draft = begin(tmp_path / "memories" / name, memory)
            number = draft.find(f"c{i % 4}")
            if number is None:
                number = draft.put(Category(name=f"c{i % 4}"))
            new = [NewEntry(number, text_content(f"{i}.{j}"), f"{i}.{j}") for j in range(3)]
            draft.add_segment("image", new, drawn(i, 3))
            draft.remove([3 * i + 1] if i % 2 else [])
            memory = draft.commit("ready", "auto" if i % 5 == 4 else "never")
        answers.append(memory.search(drawn(99, 10), np.ones(10, np.float32), k=4))
        assert {"never": 20, "often": 3, "some": 8}[name] >= len(memory.manifest.segments)
    for one, two in zip(answers[0] + answers[0], answers[1] + answers[2], strict=True):
        assert [c.category for c in one.candidates] == [c.category for c in two.candidates]
        assert [c.probability for c in one.candidates] == pytest.approx(
            [c.probability for c in two.candidates], abs=1e-6
        )
        for c, d in zip(one.candidates, two.candidates, strict=True):
            assert [e.entry for e in c.exemplars] == [e.entry for e in d.exemplars]


def test_compaction_reclaims_and_keeps_the_rest(tmp_path):
    folder = tmp_path / "memories" / "m"
    draft = begin(folder)
    for i in range(6):
        draft.put(Category(name=f"c{i}"))
    for start in range(0, 60, 20):
        new = [
            NewEntry(i % 6, text_content(str(i)), f"s{i}", thumbnail=b"%d" % i)
            for i in range(start, start + 20)
        ]
        draft.add_segment("image", new, drawn(start, 20))
    memory = draft.commit("ready")
    draft = begin(folder, memory)
    draft.remove([*range(0, 60, 6), 31])  # all of c0, and one more
    draft.forget(0)
    memory = draft.commit("ready", "never")
    known, queries = by_id(memory), drawn(9, 8)
    said = memory.search(queries, np.ones(8, np.float32), k=6)
    size = sum(ref.size for ref in memory.manifest.files())
    done = compact_memory(tmp_path, "m", "never")
    assert (done.segments, done.reclaimed, done.migrated) == ((3, 1), 11, False)
    assert by_id(done.memory) == known
    assert sum(ref.size for ref in done.memory.manifest.files()) < size
    # With the fit as it was, answers are as they were.
    for one, two in zip(
        said, done.memory.search(queries, np.ones(8, np.float32), k=6), strict=True
    ):
        assert [c.category for c in one.candidates] == [c.category for c in two.candidates]
        assert [c.probability for c in one.candidates] == pytest.approx(
            [c.probability for c in two.candidates], abs=1e-4
        )
    assert done.memory.changed == memory.changed
    # In the order of categories, so that a category's vectors are read at once.
    columns = done.memory.entries.columns[done.memory.entries.live]
    assert (np.diff(columns) >= 0).all()
    # Again there is nothing to do, and no file is written anew.
    again = compact_memory(tmp_path, "m", "never")
    assert again.reclaimed == 0
    assert again.memory.manifest.segments == done.memory.manifest.segments
    assert again.memory.manifest.layers == done.memory.manifest.layers
    assert contents(again.memory) == contents(done.memory)
    # A removed entry leaves the disk with the last generation that has it.
    texts = b"".join(p.read_bytes() for p in (folder / "data").glob("*.sources"))
    assert b"s6s12" not in texts
    assert b"s0" not in texts
    assert leftovers(folder) == []


@pytest.mark.parametrize("fitting", ["auto", "never"])
def test_a_memory_of_which_nothing_is_left(tmp_path, fitting):
    from rar_agent.errors import InputError

    folder = tmp_path / "memories" / "m"
    draft = begin(folder)
    number = draft.put(Category(name="c"))
    draft.add_segment("image", [NewEntry(number, text_content("x"), "x")], drawn(0, 1))
    draft = begin(folder, draft.commit("ready"))
    draft.remove([0])
    draft.forget(number)
    memory = draft.commit("ready", fitting)
    assert memory.manifest.fit is None
    for _ in range(2):
        memory = compact_memory(tmp_path, "m", fitting).memory
        assert (len(memory.entries), memory.manifest.segments, memory.manifest.layers) == (
            0,
            (),
            (),
        )
        with pytest.raises(InputError, match="is empty"):
            memory.search(drawn(0, 1), np.ones(1, np.float32))
    draft = begin(folder, memory)
    assert draft.next_entry == 1
    number = draft.put(Category(name="c"))
    draft.add_segment("image", [NewEntry(number, text_content("x"), "x")], drawn(0, 1))
    memory = draft.commit("ready", fitting)
    assert memory.search(drawn(0, 1), np.ones(1, np.float32))[0].candidates[0].category.name == "c"
