"""Ranking models that a memory keeps; asking them is in tests/graph/test_calibrate.py."""

import numpy as np
import pytest

from rar_agent.errors import BusyError
from rar_agent.memory import fit_memory_again, open_memory, remove_from_memory, update_category
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.format.manifest import RankerRecord
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.rankers import (
    Way,
    changed,
    find_ranker,
    is_current,
    keep_ranker,
    keeping_ranker,
    scoring_of,
    server_hash,
    texts_of,
)
from rar_agent.memory.teaching.draft import Draft
from rar_agent.settings import load_settings
from tests.memory.arrays import clusters, memory_of


def record(memory, **changes):
    known = {
        "model": "openai:m",
        "ranker": "choice",
        "prompt": "choice@1",
        "prompt_hash": "a",
        "orders": 1,
        "k": 5,
        "image_side": 512,
        "exemplars": 2,
        "server": server_hash("http://here"),
        "scoring": scoring_of(memory),
        "texts": texts_of(memory),
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


def way(**changes):
    asked = {"model": "openai:m", "server": server_hash("http://here"), "ranker": "choice"}
    asked |= {"prompt_hash": "a", "orders": 1, "image_side": 512, "exemplars": 2}
    return Way(**asked | changes)


def test_it_is_found_by_its_way_of_asking_and_replaced(memory):
    first = record(memory)
    kept = keep_ranker(home(memory), "m", first)
    assert find_ranker(kept, way()) == (first, "")
    assert find_ranker(kept, way(server=None)) == (first, "")  # a preview asks no server
    edited = record(memory, prompt_hash="b", weight=0.5)
    two = record(memory, orders=2)
    elsewhere = record(memory, server=server_hash("http://there"))
    keep_ranker(home(memory), "m", edited)
    keep_ranker(home(memory), "m", two)
    kept = keep_ranker(home(memory), "m", elsewhere)
    assert kept.manifest.rankers == (edited, two, elsewhere)
    assert open_memory(home(memory), "m").manifest.rankers == (edited, two, elsewhere)
    assert find_ranker(kept, way(server=elsewhere.server)) == (elsewhere, "")
    larger = record(memory, orders=2, image_side=1024)
    kept = keep_ranker(home(memory), "m", larger)
    assert kept.manifest.rankers == (edited, two, elsewhere, larger)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"model": "openai:n"}, "not calibrated on memory 'm'"),
        ({"server": server_hash("http://there")}, "at this server"),
        ({"ranker": "listwise"}, "as a listwise ranker"),
        ({"prompt_hash": "b"}, "with the prompt as it is now"),
        ({"orders": 2}, "with so many orders"),
        ({"image_side": 768}, "with photos of this size"),
        ({"exemplars": 3}, "with so many exemplars shown"),
        ({"orders": 2, "prompt_hash": "b"}, "prompt as it is now, with so many orders"),
    ],
)
def test_another_way_of_asking_is_told_what_is_other(memory, other, why):
    kept = keep_ranker(home(memory), "m", record(memory))
    found, reason = find_ranker(kept, way(**other))
    assert found is None
    assert reason.startswith("the model was not calibrated on memory 'm'")
    assert reason.endswith(why)


def test_a_record_without_sizes_is_of_the_default_ones(memory):
    known = record(memory).model_dump(exclude={"image_side", "exemplars"})
    kept = keep_ranker(home(memory), "m", RankerRecord(**known))
    usual = load_settings()
    as_before = way(image_side=usual.image_side, exemplars=usual.exemplars)
    assert find_ranker(kept, as_before)[0] is not None
    assert "photos of this size" in find_ranker(kept, way(image_side=512))[1]


def test_what_a_server_is_called_is_not_kept(memory):
    kept = keep_ranker(home(memory), "m", record(memory, server=server_hash("http://me:pw@x")))
    assert "pw" not in kept.manifest.model_dump_json()


def nobody():
    raise AssertionError("the memory has no texts")


def test_texts_may_change_in_a_tenth_of_the_categories(memory):
    kept = record(memory)
    now = update_category(home(memory), "m", "c3", nobody, description="with a red crest")
    assert changed(now, kept) == ""
    now = update_category(home(memory), "m", "c4", nobody, aliases=["fourth"])
    assert "names, aliases or descriptions changed" in changed(now, kept)
    assert changed(now, record(now)) == ""


def test_another_scoring_is_told(memory):
    kept = record(memory)
    assert changed(fit_memory_again(home(memory), "m"), kept) == ""  # the same again
    other = record(memory, scoring="knn")
    assert "scored by knn" in changed(memory, other)


def test_nobody_comes_between_the_calls_and_what_they_found(memory):
    with keeping_ranker(home(memory), "m") as keep:
        with pytest.raises(BusyError), writer_lock(memory.folder, wait_s=0):
            pass
        assert open_memory(home(memory), "m").name == "m"  # readers are not held up
        assert keep(record(memory)).manifest.rankers == (record(memory),)


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
