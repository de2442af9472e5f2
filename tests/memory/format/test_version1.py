"""A memory as version 1 wrote it: it says how to migrate, and nothing is lost on the way."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rar_agent.errors import ConfigurationError, DamagedDataError, InputError
from rar_agent.memory import (
    compact_memory,
    create_memory,
    list_memories,
    open_memory,
    verify_memory,
)
from rar_agent.memory.format.location import memory_folder
from tests.memory.format.committed import leftovers
from tests.memory.teaching.tiny import TinyEncoder, png

V1 = Path(__file__).with_name("v1.zip")
V1_ENTRY = np.dtype(
    {
        "names": ["id", "category", "modality", "source_start", "source_size", "content"],
        "formats": ["<i8", "<i4", "u1", "<i8", "<i4", "V32"],
        "offsets": [0, 8, 12, 24, 32, 40],
        "itemsize": 72,
    }
)


@pytest.fixture
def place(tmp_path):
    zipfile.ZipFile(V1).extractall(tmp_path)
    return tmp_path


def old_content(folder):
    """What version 1 keeps, read without the code under test."""
    current = json.loads((folder / "CURRENT").read_bytes())
    manifest = json.loads((folder / f"generations/{current['generation']:06d}.json").read_bytes())

    def data(ref):
        return (folder / "data" / ref["name"]).read_bytes()

    removed = np.frombuffer(data(manifest["tombstones"]), "<i8").tolist()
    categories = [json.loads(line) for line in data(manifest["categories"]).splitlines()]
    entries = {}
    for ref in manifest["segments"]:
        rows = np.frombuffer(data(ref["entries"]), V1_ENTRY)
        vectors = np.frombuffer(data(ref["vectors"]), "<f4").reshape(-1, 8)
        sources = data(ref["sources"])
        for row, vector in zip(rows, vectors, strict=True):
            if row["id"] not in removed:
                source = sources[row["source_start"] :][: row["source_size"]].decode()
                modality = ("image", "text", "head")[row["modality"]]
                content = bytes(row["content"]).hex()
                entries[int(row["id"])] = (
                    int(row["category"]),
                    modality,
                    source,
                    content,
                    vector.tolist(),
                )
    return categories, entries, manifest


def new_content(memory):
    entries = {}
    for modality in memory.entries.modalities:
        for row in memory.entries.rows(modality):
            [field] = memory.entries.fields(np.array([row]))
            entries[memory.entries.id_of(int(row))] = (
                int(field["category"]),
                modality,
                memory.entries.source(int(row)),
                bytes(field["content"]).hex(),
                memory.entries.vectors(np.array([row]))[0].tolist(),
            )
    categories = [
        {"id": int(number), **category.model_dump(mode="json")}
        for number, category in zip(memory.categories.ids, memory.categories, strict=True)
    ]
    return categories, entries


def test_opening_says_exactly_how_to_migrate(place):
    with pytest.raises(ConfigurationError, match=r"format version 1; .*writes 2") as error:
        open_memory(place, "old")
    assert error.value.fix.endswith("nothing is encoded again: rar-agent memory compact old")
    assert list_memories(place) == ["old"]
    assert verify_memory(place, "old") == []


def test_migration_loses_nothing(place):
    folder = memory_folder(place, "old")
    categories, entries, manifest = old_content(folder)
    assert len(entries) == 7
    done = compact_memory(place, "old")
    assert done.migrated
    assert done.segments == (2, 2)
    assert done.reclaimed == 1
    for memory in (done.memory, open_memory(place, "old")):
        found, kept = new_content(memory)
        assert kept == entries
        assert {c["name"] for c in found} == {"blue disc", "red disc", "green disc"}
        for was, now in zip(categories, found, strict=True):
            assert {**now, **was} == now
        assert memory.manifest.generation == manifest["generation"] + 1
        assert memory.manifest.domain == "discs"
        assert memory.manifest.encoder.model_dump(mode="json") == {
            **manifest["encoder"],
            "views": "one",
        }
        # Ids go on where they were: none is used twice.
        assert memory.manifest.next_entry == manifest["next_entry"]
        assert memory.manifest.next_category == manifest["next_category"]
    assert verify_memory(place, "old") == []
    query = memory.entries.vectors(memory.entries.rows("image")[:1])
    [answer] = memory.search(query, np.ones(1, np.float32))
    assert answer.candidates[0].exemplars[0].similarity == pytest.approx(1.0)
    again = compact_memory(place, "old")
    assert not again.migrated
    assert new_content(again.memory) == (found, entries)
    assert leftovers(folder) == []


def test_damage_is_found_before_migration(place):
    folder = memory_folder(place, "old")
    _, _, manifest = old_content(folder)
    path = folder / "data" / manifest["segments"][1]["vectors"]["name"]
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(DamagedDataError, match=path.name):
        compact_memory(place, "old")
    path.unlink()
    with pytest.raises(DamagedDataError, match="missing"):
        compact_memory(place, "old")
    path.write_bytes(content)
    assert len(compact_memory(place, "old").memory.entries) == 7


def rewritten(folder, **changes):
    """Another manifest in place of the valid one."""
    path = folder / "generations/000002.json"
    manifest = json.loads(path.read_bytes())
    data = json.dumps({**manifest, **changes}).encode()
    path.write_bytes(data)
    current = {"generation": 2, "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "CURRENT").write_text(json.dumps(current))


@pytest.mark.parametrize(
    "changes",
    [
        {"segments": None},
        {"dimension": "x"},
        {"encoder": {}},
        {"categories": {"name": "../../x", "size": 1}},
        {"dimension": 7},
    ],
)
def test_what_makes_no_sense_is_damage(place, changes):
    rewritten(memory_folder(place, "old"), **changes)
    with pytest.raises(DamagedDataError):
        compact_memory(place, "old")


def test_an_interrupted_build_cannot_go_on(place):
    rewritten(memory_folder(place, "old"), state="building")
    with pytest.raises(InputError, match="memory delete old"):
        compact_memory(place, "old")


def test_a_ready_memory_stays_ready_made(place):
    rewritten(memory_folder(place, "old"), fixed=True)
    assert compact_memory(place, "old").memory.manifest.fixed
    with pytest.raises(InputError, match="ready-made"):
        compact_memory(place, "old")


def test_creating_over_it_says_the_same(place):
    with pytest.raises(ConfigurationError, match="memory compact old"):
        create_memory(place, "old", TinyEncoder(), {"ash": [png("ash", 0)]})
    shutil.rmtree(memory_folder(place, "old"))
    create_memory(place, "old", TinyEncoder(), {"ash": [png("ash", 0)]})
