import hashlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rar_agent.errors import InputError
from rar_agent.memory import open_memory
from rar_agent.memory.format import categories as module
from rar_agent.memory.format.categories import (
    Categories,
    name_hash,
    require_readable,
    write_layer,
)
from rar_agent.memory.format.segment import NewEntry
from rar_agent.types import Category
from tests.memory.arrays import begin, drawn

MANY = 200_000


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """200,000 categories known by their names alone."""
    home = tmp_path_factory.mktemp("many")
    draft = begin(home / "memories" / "m")
    numbers = [draft.put(Category(name=f"c{i}")) for i in range(MANY)]
    vectors = drawn(0, MANY)
    content = hashlib.sha256(b"").hexdigest()
    for start in range(0, MANY, 50_000):
        part = numbers[start : start + 50_000]
        draft.add_segment("text", [NewEntry(n, content, "") for n in part], vectors[part])
    draft.commit("ready")
    return home, vectors


@pytest.mark.slow
def test_opening_parses_no_category_and_searching_only_the_answers(many, monkeypatch):
    home, vectors = many
    parsed = []
    parse = Categories._parse
    monkeypatch.setattr(
        Categories, "_parse", lambda self, column: parsed.append(column) or parse(self, column)
    )
    memory = open_memory(home, "m")
    assert len(memory.categories) == MANY
    assert memory.has_texts
    assert not memory.categories.has_parents
    assert parsed == []
    found = memory.search(vectors[[7, 123_456]], np.ones(2, np.float32), k=3)
    assert [one.candidates[0].category.name for one in found] == ["c7", "c123456"]
    assert len(parsed) <= 6
    del parsed[:]
    assert memory.categories.find("c199999") == 199_999
    assert memory.categories.find("nosuch") is None
    assert parsed == [199_999]


@pytest.mark.slow
def test_adding_to_many_parses_few(many, monkeypatch):
    home, _ = many
    memory = open_memory(home, "m")
    parsed = []
    parse = Categories._parse
    monkeypatch.setattr(
        Categories, "_parse", lambda self, column: parsed.append(column) or parse(self, column)
    )
    draft = begin(memory.folder, memory)
    number = draft.put(Category(name="one more"))
    draft.add_segment("text", [NewEntry(number, "0" * 64, "")], drawn(9, 1))
    later = draft.commit("ready")
    assert later.categories.find("one more") == MANY
    assert set(parsed) == {MANY}


def test_names_are_found_among_hashes_that_are_alike(tmp_path, monkeypatch):
    """Neighbours past 53 bits, which a float cannot tell apart, and equal ones."""
    base = (1 << 62) + 1
    hashes = {"a": base, "b": base + 1, "c": base + 2, "d": base + 2, "top": (1 << 64) - 1}
    monkeypatch.setattr(module, "name_hash", lambda name: hashes.get(name, 0))
    layer = write_layer(tmp_path, enumerate(Category(name=name) for name in hashes))
    found = Categories(tmp_path, [layer])
    assert [found.find(name) for name in hashes] == [0, 1, 2, 3, 4]
    assert found.find("nosuch") is None


change = st.tuples(
    st.integers(0, 6),
    st.none() | st.builds(Category, name=st.sampled_from("abcdef"), parent=st.sampled_from("xy")),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(layers=st.lists(st.dictionaries(st.integers(0, 6), change.map(lambda c: c[1])), max_size=5))
def test_the_last_layer_counts(tmp_path, layers):
    refs = [ref for layer in layers if (ref := write_layer(tmp_path, sorted(layer.items())))]
    now = {}
    for layer in layers:
        now.update(layer)
    live = {number: c for number, c in sorted(now.items()) if c}
    found = Categories(tmp_path, refs)
    assert found.ids.tolist() == list(live)
    assert list(found) == list(live.values())
    assert found.removed_ids.tolist() == sorted(set(now) - set(live))
    assert found[-len(live) :] == list(live.values())
    assert found.has_parents == any(c.parent for c in live.values())
    wanted = np.arange(-1, 9)
    columns = found.columns(wanted)
    assert columns.tolist() == [list(live).index(i) if i in live else -1 for i in wanted]
    for name in "abcdef":
        at = found.find(name)
        assert (at is None) == (name not in {c.name for c in live.values()})
        assert at is None or found[at].name == name
    for parent in "xy":
        below = [i for i, c in enumerate(live.values()) if c.parent == parent]
        assert found.children(parent).tolist() == below
    with pytest.raises(IndexError):
        found[len(live)]


def nested(levels, within):
    """Metadata of so many levels, the innermost with a number."""
    value = 1
    for _ in range(levels - 1):
        value = within(value)
    return {"k": value}


@pytest.mark.parametrize("within", [lambda v: {"k": v}, lambda v: [v]])
def test_only_what_can_be_read_again_is_put(tmp_path, within):
    """For every depth either the category comes back, or it is refused before it is written."""
    refused = []
    for levels in range(1, 300):
        category = Category(name="ash", metadata=nested(levels, within))
        try:
            begin(tmp_path / str(levels)).put(category)
        except InputError:
            refused.append(levels)
        else:
            layer = write_layer(tmp_path, [(2**31 - 1, category)])
            assert list(Categories(tmp_path, [layer])) == [category]
    assert refused == list(range(refused[0], 300))
    assert 190 < refused[0] <= 200


def test_metadata_that_are_no_json():
    around = []
    around.append(around)
    for value in (around, [object()], {"k": object()}, object()):
        with pytest.raises(InputError, match="'ash' cannot be kept"):
            require_readable(Category(name="ash", metadata={"k": value}))


def test_hashes_are_pinned():
    """They are on disk."""
    assert name_hash("") == 0
    assert name_hash("robin") == int.from_bytes(hashlib.sha256(b"robin").digest()[:8], "little")
