"""The same memory on disk and in Milvus answers alike, however it is taught."""

import json
from collections import Counter
from random import Random

import numpy as np
import pytest

import rar_agent.memory.memory
import rar_agent.memory.scoring.record
import rar_agent.memory.search
from rar_agent.errors import InputError, NotFoundError
from rar_agent.memory import (
    Filter,
    add_to_memory,
    create_memory,
    delete_memory,
    fit_memory_again,
    list_memories,
    open_memory,
    remove_from_memory,
    verify_memory,
)
from rar_agent.memory.format.manifest import FileRef
from rar_agent.memory.format.origin import origin_of
from rar_agent.memory.readers import Sample
from rar_agent.types import Category
from tests.memory.teaching.expected import (
    Expected,
    RefusedError,
    created,
    some_change,
    some_samples,
)
from tests.memory.teaching.tiny import TinyEncoder, png
from tests.scale.milvus.same import assert_same, assert_same_in_all, queries

pytestmark = pytest.mark.slow
TREES = {
    "ash": Category(name="ash", parent="trees", metadata={"green": True}),
    "birch": Category(name="birch", parent="trees", aliases=("white one",)),
    "fir": Category(name="fir", parent="conifers", metadata={"green": True}),
    "conifers": Category(name="conifers", parent="trees"),
    "oak": Category(name="oak", metadata={"green": False}),
    "ivy": Category(name="ivy", description="climbs"),
}


def photos(shots, *names):
    return [
        Sample(TREES[name], png(name, i), f"/photos/{name}/{i}.png")
        for name in names
        for i in range(shots)
    ]


def both(home, address, *given, encoder=None, **options):
    encoder = encoder or TinyEncoder()
    for name in ("disk", address):
        create_memory(home, name, encoder, *given, **options)
    return open_memory(home, "disk"), open_memory(home, address)


@pytest.mark.parametrize("names_help", [False, True])
def test_small_ones(tmp_path, address, names_help):
    samples = photos(5, "ash", "birch", "fir", "oak")
    one, other = both(
        tmp_path, address, samples, [TREES["ivy"]], encoder=TinyEncoder(names_help), thumbnails=4
    )
    assert not any(segment.is_here for segment in other.entries.segments)
    assert_same_in_all(one, other)


def test_calibrated_ones_promise_the_same(tmp_path, address):
    one, other = both(tmp_path, address, photos(40, "ash", "birch", "fir", "oak", "ivy"))
    assert other.calibrated
    assert_same_in_all(one, other)


def test_names_alone(tmp_path, address):
    one, other = both(tmp_path, address, (), list(TREES.values()), encoder=TinyEncoder(True))
    assert_same_in_all(one, other)


@pytest.mark.parametrize("names_help", [False, True])
def test_many_categories_are_shortlisted(tmp_path, address, monkeypatch, names_help):
    for module in (
        rar_agent.memory.search,
        rar_agent.memory.memory,
        rar_agent.memory.scoring.record,
    ):
        monkeypatch.setattr(module, "ALL_SCORED", 2)
    monkeypatch.setattr(rar_agent.memory.search, "SHORTLIST", 7)
    samples = photos(6, "ash", "birch", "fir", "oak", "ivy")
    one, other = both(tmp_path, address, samples, encoder=TinyEncoder(names_help))
    assert not other.keeps_sums
    assert_same_in_all(one, other)
    wide = Filter(only=("ash", "birch", "fir", "ivy"))  # more are in than out
    assert_same(one, other, within=wide)


def test_what_is_taught_later_and_what_is_forgotten(tmp_path, address):
    encoder = TinyEncoder()
    both(tmp_path, address, photos(40, "ash", "birch", "fir", "oak"), thumbnails=4)
    for name in ("disk", address):
        add_to_memory(tmp_path, name, encoder, photos(44, "ash", "ivy"), fitting="never")
        remove_from_memory(tmp_path, name, ["birch"], [3, 4, 5], fitting="never")
    one, other = open_memory(tmp_path, "disk"), open_memory(tmp_path, address)
    assert other.stale
    assert_same_in_all(one, other)
    for name in ("disk", address):
        fit_memory_again(tmp_path, name)
    one, other = open_memory(tmp_path, "disk"), open_memory(tmp_path, address)
    assert not other.stale
    assert_same_in_all(one, other)
    assert verify_memory(tmp_path, address) == []


def test_an_opened_one_keeps_its_generation(tmp_path, address):
    encoder = TinyEncoder()
    _, before = both(tmp_path, address, photos(5, "ash", "birch", "fir"))
    disk = open_memory(tmp_path, "disk")
    add_to_memory(tmp_path, address, encoder, photos(8, "oak", "ash"))
    remove_from_memory(tmp_path, address, ["birch"])
    assert_same(disk, before)  # its entries are still there, the new ones it does not see
    assert_same(disk, before, method="knn")
    assert open_memory(tmp_path, address).manifest.generation == 3


@pytest.mark.parametrize("seed", range(4))
def test_any_changes_are_what_they_are_on_disk(tmp_path, address, seed):
    random, encoder = Random(seed), TinyEncoder(seed % 2 == 1)
    samples = some_samples(random, 30, random.random() < 0.5)
    memory, now = created(tmp_path, address, samples, encoder, thumbnails=4)
    create_memory(tmp_path, "disk", encoder, samples, thumbnails=4)
    for _ in range(6):
        change = some_change(random, now)
        try:
            after = now.after(change)
        except RefusedError:
            with pytest.raises(InputError):
                change.apply(tmp_path, address, encoder)
            continue
        now, memory = after, change.apply(tmp_path, address, encoder)
        change.apply(tmp_path, "disk", encoder)
        assert Expected.of(memory).state() == now.state(), change
        memory = open_memory(tmp_path, address)
        assert Expected.of(memory).state() == now.state(), change
        assert_same(open_memory(tmp_path, "disk"), memory, k=20)
    assert verify_memory(tmp_path, address) == []
    assert leftovers(memory) == []


def leftovers(memory):
    """Files in Milvus that neither of the last two generations needs, and rows of none."""
    origin = origin_of(memory.folder)
    generations = origin.files.rows("current/")
    assert len(generations) <= 2
    needed = ""
    for row in map(json.loads, generations.values()):
        name = f"{json.loads(row['current'])['sha256']}.json"
        data = b"".join(origin.files.read(FileRef(name=name, size=row["size"])))
        needed += name + data.decode()
    found = [name for name in origin.files.names() if name not in needed]
    held = sum(ref.count for ref in memory.manifest.segments)
    extra = origin.rows.count_from(0) - held
    return found + ([f"{extra} rows"] if extra else [])


def test_a_memory_in_milvus_is_none_here_and_goes_when_it_is_deleted(tmp_path, address, lite):
    both(tmp_path, address, photos(3, "ash", "birch"))
    assert list_memories(tmp_path) == ["disk"]
    other = lite.address("nothing_there")
    with pytest.raises(NotFoundError, match=f"no memory 'nothing_there' in milvus://.*{lite.port}"):
        open_memory(tmp_path, other)
    with pytest.raises(InputError, match="exists already"):
        create_memory(tmp_path, address, TinyEncoder(), photos(3, "ash"))
    origin = origin_of(open_memory(tmp_path, address).folder)
    delete_memory(tmp_path, address)
    with pytest.raises(NotFoundError):
        open_memory(tmp_path, address)
    for collection in (origin.rows.collection, origin.files.collection):
        assert not origin.rows._server.ask("has_collection", collection_name=collection)
    create_memory(tmp_path, address, TinyEncoder(), photos(3, "oak", "fir"))
    assert {c.name for c in open_memory(tmp_path, address).categories} == {"oak", "fir"}


def test_a_creation_that_comes_to_nothing_leaves_nothing(tmp_path, address):
    with pytest.raises(InputError, match="Nothing could be learnt"):
        create_memory(tmp_path, address, TinyEncoder(), [Sample(TREES["ash"], b"no image", "x")])
    with pytest.raises(NotFoundError):
        open_memory(tmp_path, address)
    from rar_agent.scale.milvus import origin

    files = origin(address).files
    assert not files._server.ask("has_collection", collection_name=files.collection)


def test_another_machine_reads_and_teaches_it(tmp_path, address):
    here, there = tmp_path / "here", tmp_path / "there"
    create_memory(here, address, TinyEncoder(), photos(5, "ash", "birch"), thumbnails=4)
    seen = open_memory(there, address)  # another home is another machine
    assert_same(open_memory(here, address), seen)
    add_to_memory(there, address, TinyEncoder(), photos(5, "oak"))
    add_to_memory(here, address, TinyEncoder(), photos(5, "fir"))
    found = open_memory(there, address)
    counts = Counter(found.entries.columns[found.entries.live].tolist())
    assert sorted(counts.values()) == [5, 5, 5, 5]
    vectors, norms = queries()
    assert len(found.search(vectors, norms)) == len(vectors)
    assert np.isfinite(found.entries.vectors(found.entries.live)).all()
