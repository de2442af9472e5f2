"""Ranking models that a memory keeps; asking them is in tests/graph/test_calibrate.py."""

import numpy as np
import pytest

from rar_agent.memory import open_memory, remove_from_memory
from rar_agent.memory.format.manifest import RankerRecord
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.rankers import find_ranker, is_current, keep_ranker
from rar_agent.memory.teaching.draft import Draft
from tests.memory.arrays import clusters, memory_of


def record(memory, **changes):
    known = {
        "model": "openai:m",
        "ranker": "choice",
        "prompt": "choice@1",
        "prompt_hash": "a",
        "orders": 1,
        "k": 5,
        "weight": 1.0,
        "gate": 0.9,
        "loss": 0.005,
        "images": 50,
        "calls": 60,
        "retrieval_top1": 0.5,
        "ranked_top1": 0.8,
        "asked_share": 0.4,
        "answers": ((0.5, True), (0.4, False)),
        "created": "2026-01-01T00:00:00+00:00",
        "entries": memory.image_count,
        "next_entry": memory.manifest.next_entry,
    }
    return RankerRecord(**{**known, **changes})


@pytest.fixture
def memory(tmp_path):
    found = clusters(categories=10, shots=10)
    return memory_of(tmp_path, {c: found.vectors[found.labels == c] for c in range(10)})


def learn(memory, count):
    """Teach a category so many exemplars; their ids."""
    draft = Draft.after(memory)
    vectors = memory.entries.vectors(np.arange(count))
    first = draft.next_entry
    entries = [NewEntry(0, text_content(f"new {first + i}"), "new") for i in range(count)]
    draft.add_segment("image", entries, vectors)
    return draft.commit("ready", "never"), list(range(first, first + count))


def home(memory):
    return memory.folder.parent.parent


def test_it_is_found_by_its_way_of_asking_and_replaced(memory):
    first = record(memory)
    kept = keep_ranker(home(memory), "m", first)
    assert find_ranker(kept, "openai:m", "choice", "a", 1) == first
    for other in (("openai:n", "choice", "a", 1), ("openai:m", "choice", "b", 1)):
        assert find_ranker(kept, *other) is None
    edited = record(memory, prompt_hash="b", weight=0.5)
    two = record(memory, orders=2)
    keep_ranker(home(memory), "m", edited)
    assert keep_ranker(home(memory), "m", two).manifest.rankers == (edited, two)
    assert open_memory(home(memory), "m").manifest.rankers == (edited, two)


def test_it_is_current_while_at_most_a_tenth_changed(memory):
    kept = record(memory)
    now, new = learn(memory, 10)
    assert is_current(now, kept)
    now = remove_from_memory(home(memory), "m", entries=new, fitting="never")
    assert is_current(now, kept)  # it is what it was
    old = now.entries.ids[::10].tolist()
    now = remove_from_memory(home(memory), "m", entries=old, fitting="never")
    assert is_current(now, kept)
    assert not is_current(learn(now, 1)[0], kept)


def test_what_is_stale_goes_when_another_is_kept(memory):
    keep_ranker(home(memory), "m", record(memory))
    now, _ = learn(open_memory(home(memory), "m"), 20)
    fresh = record(now, model="openai:n")
    assert keep_ranker(home(memory), "m", fresh).manifest.rankers == (fresh,)
