"""To Milvus and back: the same to the last bit, going on where it was killed."""

import re
import signal

import numpy as np
import pytest

from rar_agent.errors import InputError, NotFoundError, ServerError
from rar_agent.memory import (
    add_to_memory,
    compact_memory,
    create_memory,
    open_memory,
    remove_from_memory,
    verify_memory,
)
from rar_agent.memory.format.origin import origin_of
from rar_agent.scale.milvus import compare as comparing
from rar_agent.scale.milvus import rows
from rar_agent.scale.milvus.compare import compare
from rar_agent.scale.milvus.migrate import migrate
from tests.memory.teaching.tiny import TinyEncoder
from tests.scale.milvus.process import run
from tests.scale.milvus.same import assert_same_in_all
from tests.scale.milvus.test_equivalence import TREES, leftovers, photos

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path):
    encoder = TinyEncoder()
    samples = photos(40, "ash", "birch", "fir", "oak", "ivy")
    create_memory(tmp_path, "disk", encoder, samples, [TREES["conifers"]], thumbnails=4)
    remove_from_memory(tmp_path, "disk", [], [1, 2, 3], fitting="never")
    add_to_memory(tmp_path, "disk", encoder, photos(44, "ash"), fitting="never")
    return tmp_path


def files_of(memory):
    return {ref.name for ref in memory.manifest.files() if not ref.name.endswith(".faiss")}


def test_there_and_back(disk, address):
    told = []
    source, copy = migrate(disk, "disk", address, lambda *far: told.append(far))
    assert told[0] == (0, 213)
    assert told[-1] == (213, 213)
    assert [check.fine for check in compare(source, copy)] == [True] * 4
    assert_same_in_all(source, copy)
    assert verify_memory(disk, address) == []
    assert leftovers(copy) == []
    _, back = migrate(disk, address, "back")
    assert files_of(back) == files_of(source)  # names are hashes
    assert verify_memory(disk, "back") == []
    assert_same_in_all(source, back)
    assert not (back.folder / "migration").exists()
    for name in ("disk", "back", address):  # each goes its own way
        add_to_memory(disk, name, TinyEncoder(), photos(45, "fir"))
    assert_same_in_all(open_memory(disk, "disk"), open_memory(disk, "back"))
    assert_same_in_all(open_memory(disk, "disk"), open_memory(disk, address))


def test_again_changes_nothing_and_another_is_refused(disk, address):
    migrate(disk, "disk", address)
    origin = origin_of(open_memory(disk, address).folder)
    before = origin.files.rows("current/")
    migrate(disk, "disk", address)
    assert origin.files.rows("current/") == before
    compact_memory(disk, "disk")
    with pytest.raises(InputError, match="exists already, and is another one"):
        migrate(disk, "disk", address)
    migrate(disk, address, "back")
    migrate(disk, address, "back")
    with pytest.raises(InputError, match="Memory 'disk' exists already"):
        migrate(disk, address, "disk")


def test_what_is_no_migration(disk, address, lite):
    with pytest.raises(InputError, match="both on this machine"):
        migrate(disk, "disk", "other")
    with pytest.raises(InputError, match="both addresses"):
        migrate(disk, address, lite.address("other"))
    with pytest.raises(NotFoundError):
        migrate(disk, "nothing", address)
    with pytest.raises(NotFoundError):
        migrate(disk, address, "nothing")
    with pytest.raises(InputError, match="no index 'BEST'"):
        migrate(disk, "disk", address, index="BEST")


KILLED = """
rows._MOST_ROWS = 20
insert, calls = Rows.insert, []
def counted(self, *given):
    insert(self, *given)
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
Rows.insert = counted
migrate(home, "disk", address)
"""


@pytest.mark.parametrize("changed", [False, True])
def test_killed_on_the_way_there(disk, address, monkeypatch, changed):
    status, _, err = run(KILLED, disk, address)
    assert status == -signal.SIGKILL, err
    with pytest.raises(NotFoundError):
        open_memory(disk, address)
    if changed:  # what was brought is of no use then
        remove_from_memory(disk, "disk", ["birch"])
        compact_memory(disk, "disk")
    sent = []
    monkeypatch.setattr(rows, "_MOST_ROWS", 20)
    insert = rows.Rows.insert

    def counted(self, entries, vectors):
        sent.extend(entries["id"].tolist())
        insert(self, entries, vectors)

    monkeypatch.setattr(rows.Rows, "insert", counted)
    source, copy = migrate(disk, "disk", address)
    held = sum(ref.count for ref in source.manifest.segments)
    assert len(sent) == (held if changed else held - 80)
    assert len(set(sent)) == len(sent)
    assert verify_memory(disk, address) == []  # counts, too: nothing is there twice
    assert all(check.fine for check in compare(source, copy))
    assert_same_in_all(source, copy)


def test_killed_on_the_way_back(disk, address):
    migrate(disk, "disk", address)
    code = """
import rar_agent.scale.milvus.migrate as m
m._ROWS = 20
read, calls = Rows.read, []
def counted(self, *given):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(self, *given)
Rows.read = counted
migrate(home, address, "back")
"""
    status, _, err = run(code, disk, address)
    assert status == -signal.SIGKILL, err
    with pytest.raises(NotFoundError):
        open_memory(disk, "back")
    [begun] = (disk / "memories" / "back" / "migration").glob("*.vectors")
    assert begun.stat().st_size == 60 * 4 * 16
    with begun.open("ab") as file:
        file.write(b"half a row")
    told = []
    source, back = migrate(disk, address, "back", lambda *far: told.append(far[0]))
    assert told[1] > 60
    assert verify_memory(disk, "back") == []
    assert files_of(back) == files_of(source)


def test_a_copy_that_is_not_the_same_is_told(disk, address, monkeypatch):
    source, copy = migrate(disk, "disk", address)
    origin = origin_of(copy.folder)
    wrong = copy.entries.vectors(copy.entries.live[:1])[0]
    fields = source.entries.fields(source.entries.live)
    origin.rows.drop(fields["id"].astype(np.int64))
    origin.rows.insert(fields, np.repeat(wrong[None], len(fields), axis=0))  # all one vector
    checks = {check.what: check.fine for check in compare(source, copy)}
    assert checks == {
        "entries": True,
        "categories": True,
        "vectors of sampled entries": False,
        "sampled searches": False,
    }
    monkeypatch.setattr(comparing, "SAMPLE", 3)
    remove_from_memory(disk, "disk", [], [10])
    checks = compare(open_memory(disk, "disk"), copy)
    assert [check.fine for check in checks] == [False, False]


@pytest.mark.parametrize("kind", ["FLAT", "HNSW", "IVF_FLAT"])
def test_an_index_that_was_asked_for(disk, address, kind):
    from rar_agent.scale.milvus.index import describe

    source, copy = migrate(disk, "disk", address, index=kind)
    origin = origin_of(copy.folder)
    assert describe(origin.rows._server, origin.rows.collection).kind == kind
    assert all(check.fine for check in compare(source, copy))
    compact_memory(disk, address)  # which gives it what so few want
    assert describe(origin.rows._server, origin.rows.collection).kind == "FLAT"
    assert verify_memory(disk, address) == []


def test_compaction_drops_what_an_earlier_one_left(disk, address, monkeypatch):
    """It died after its commit: the rows are on record no more."""
    _, copy = migrate(disk, "disk", address)
    code = """
from rar_agent.memory import compact_memory, remove_from_memory
remove_from_memory(home, address, ["birch"], [10, 12, 14])
MilvusOrigin.tidy = lambda *_: os._exit(9)
compact_memory(home, address)
"""
    status, _, err = run(code, disk, address)
    assert status == 9, err
    memory, origin = open_memory(disk, address), origin_of(copy.folder)
    stray = memory.entries.fields(memory.entries.live[:1]).copy()
    stray["id"] = -5
    origin.rows.insert(stray, memory.entries.vectors(memory.entries.live[:1]))
    [wrong] = verify_memory(disk, address)
    assert re.search(r"has \d+ entries, not \d+\.$", wrong)
    monkeypatch.setattr(rows, "_MOST_GAPS", 2)
    before = open_memory(disk, address)
    after = compact_memory(disk, address).memory
    assert leftovers(after) == []
    assert verify_memory(disk, address) == []
    assert_same_in_all(before, after)


def test_a_writer_builds_the_index_that_a_crash_left_none_of(disk, address, monkeypatch):
    from rar_agent.scale.milvus import index

    _, copy = migrate(disk, "disk", address)
    rows = origin_of(copy.folder).rows
    rows._server.ask("release_collection", collection_name=rows.collection)
    rows._server.ask("drop_index", collection_name=rows.collection, index_name="vector")
    monkeypatch.setattr(index, "MOST_FLAT", 10)
    add_to_memory(disk, address, TinyEncoder(), photos(46, "ash"), fitting="never")
    assert index.describe(rows._server, rows.collection).kind == "HNSW"
    add_to_memory(disk, "disk", TinyEncoder(), photos(46, "ash"), fitting="never")
    assert_same_in_all(open_memory(disk, "disk"), open_memory(disk, address))


def test_an_index_that_is_refused_leaves_the_one_that_was_there(disk, address, monkeypatch):
    from rar_agent.scale.milvus.index import Index, describe

    _, copy = migrate(disk, "disk", address)
    rows = origin_of(copy.folder).rows
    create, asked = rows._create_index, []

    def refused_once(wanted):  # milvus-lite takes all kinds on record, also what it cannot build
        asked.append(wanted)
        if len(asked) == 1:
            raise ServerError("It is refused.", "")
        create(wanted)

    monkeypatch.setattr(rows, "_create_index", refused_once)
    with pytest.raises(ServerError, match="refused"):
        rows.reindex(Index("DISKANN"))
    assert describe(rows._server, rows.collection) == Index("FLAT")
    assert_same_in_all(open_memory(disk, "disk"), open_memory(disk, address))


def test_compaction_builds_an_index_where_there_is_none(disk, address):
    """It died between dropping the one and building the other."""
    from rar_agent.scale.milvus.index import Index, describe

    _, copy = migrate(disk, "disk", address, index="HNSW")
    origin = origin_of(copy.folder)
    server, name = origin.rows._server, origin.rows.collection
    server.ask("release_collection", collection_name=name)
    server.ask("drop_index", collection_name=name, index_name="vector")
    assert describe(server, name) == Index("")
    compact_memory(disk, address)
    assert describe(server, name) == Index("FLAT")
    compact_memory(disk, "disk")
    assert_same_in_all(open_memory(disk, "disk"), open_memory(disk, address))
