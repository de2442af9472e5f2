"""One writer at a time; whenever it dies, the old generation or the new one is there."""

import json
import socket
import threading
import time

import pytest

import rar_agent.scale.milvus.claim as claims
from rar_agent.errors import BusyError
from rar_agent.memory import add_to_memory, create_memory, open_memory, verify_memory
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.format.origin import origin_of
from rar_agent.scale.milvus.index import describe
from rar_agent.scale.milvus.origin import MilvusOrigin
from tests.memory.teaching.tiny import TinyEncoder
from tests.scale.milvus.process import run, start
from tests.scale.milvus.same import assert_same
from tests.scale.milvus.test_equivalence import leftovers, photos

pytestmark = pytest.mark.slow


@pytest.fixture
def taught(tmp_path, address):
    for name in ("disk", address):
        create_memory(tmp_path, name, TinyEncoder(), photos(6, "ash", "birch"), thumbnails=4)
    return tmp_path


DIES = {
    "in the middle of the entries": """
rows._MOST_ROWS = 5
insert = Rows.insert
def half(self, *given):
    insert(self, *given)
    os._exit(9)
Rows.insert = half
""",
    "after the entries": "MilvusOrigin.put = lambda *_: os._exit(9)\n",
    "before it commits": "MilvusOrigin.commit = lambda *_: os._exit(9)\n",
    "after it committed": "MilvusOrigin._collect = lambda *_: os._exit(9)\n",
}


@pytest.mark.parametrize("when", DIES)
def test_a_writer_that_dies(taught, address, when):
    code = DIES[when] + "add_to_memory(home, address, TinyEncoder(), photos(8, 'fir', 'oak'))\n"
    status, _, err = run(code, taught / "elsewhere", address)
    assert status == 9, err
    seen = open_memory(taught, address)
    new = when == "after it committed"
    if new:
        add_to_memory(taught, "disk", TinyEncoder(), photos(8, "fir", "oak"))
    assert seen.manifest.generation == 1 + new
    for method in ("fitted", "knn"):
        assert_same(open_memory(taught, "disk"), seen, method=method)
    more = photos(6, "oak", "ivy")
    for name in ("disk", address):  # the claim of a process that is gone holds nobody up
        add_to_memory(taught, name, TinyEncoder(), more)
    after = open_memory(taught, address)
    assert_same(open_memory(taught, "disk"), after)
    assert verify_memory(taught, address) == []
    assert leftovers(after) == []


def test_what_is_not_committed_is_not_found(taught, address):
    """Not even where it is nearest, and there is enough of it to crowd out all others."""
    code = """
MilvusOrigin.put = lambda *_: os._exit(9)
add_to_memory(home, address, TinyEncoder(), photos(40, 'ivy', 'oak'))
"""
    assert run(code, taught / "elsewhere", address)[0] == 9
    seen = open_memory(taught, address)
    assert origin_of(seen.folder).rows.count_from(seen.manifest.next_entry) == 80
    query = seen.entries.vectors(seen.entries.live[:1])
    cosines, rows = seen.nearest.rows("image", query, 12)
    assert (rows >= 0).all()
    assert cosines[0, 0] == pytest.approx(1, abs=1e-5)


def test_two_writers(taught, address):
    code = """
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory import memory_folder
with writer_lock(memory_folder(home, address)):
    print("holding", flush=True)
    time.sleep(60)
"""
    other = start(code, taught / "elsewhere", address)
    try:
        assert other.stdout.readline() == "holding\n"
        with pytest.raises(BusyError, match=f"is being written by process {other.pid} on"):
            add_to_memory(taught, address, TinyEncoder(), photos(6, "fir"))
    finally:
        other.kill()
        other.communicate()
    assert add_to_memory(taught, address, TinyEncoder(), photos(6, "fir")).added == 6


def test_many_writers_at_once_and_nothing_is_lost(taught, address):
    code = """
from rar_agent.errors import BusyError
name = sys.argv[2]
for kind in {kinds!r}:
    while True:
        try:
            add_to_memory(home, name, TinyEncoder(), photos(7, kind))
            break
        except BusyError:
            time.sleep(0.2)
"""
    kinds = [["ash", "oak"], ["birch", "ivy"], ["fir"]]
    others = [
        start(code.format(kinds=part), taught / f"machine{i}", address)
        for i, part in enumerate(kinds)
    ]
    ended = [process.communicate(timeout=180) for process in others]
    assert [process.returncode for process in others] == [0, 0, 0], ended
    found = open_memory(taught, address)
    assert found.manifest.generation == 6
    assert found.image_count == 7 * 5
    assert verify_memory(taught, address) == []
    assert leftovers(found) == []


def test_one_that_was_not_heard_of_is_taken_over_and_keeps_nothing(taught, address, monkeypatch):
    monkeypatch.setattr(claims, "_RENEW_S", 1e9)
    elsewhere = taught / "elsewhere"
    open_memory(elsewhere, address)
    folder = open_memory(taught, address).folder
    origin = origin_of(folder)
    with writer_lock(folder):
        key, text = next(iter(origin.files.rows("writer/").items()))
        origin.files.put_rows([(key, text.replace('"seen": 1', '"seen": 0.1'))])  # long ago
        other = run(
            "add_to_memory(home, address, TinyEncoder(), photos(6, 'fir'))", elsewhere, address
        )
        assert other[0] == 0, other[2]
        with pytest.raises(BusyError, match="taken over by another writer"):
            origin.require_claim()
    assert open_memory(taught, address).manifest.generation == 2


def test_who_was_slower_keeps_nothing(taught, address, monkeypatch):
    """Where a claim is of no use: the generation has to be the one that was read."""
    monkeypatch.setattr(claims.Claim, "take", lambda self: self._renew())
    monkeypatch.setattr(claims.Claim, "require", lambda self: None)

    class Slow(TinyEncoder):
        def encode_prepared(self, images):
            done = run(
                "import rar_agent.scale.milvus.claim as c\n"
                "c.Claim.take = lambda self: self._renew()\n"
                "add_to_memory(home, address, TinyEncoder(), photos(6, 'fir'))",
                taught / "elsewhere",
                address,
            )
            assert done[0] == 0, done[2]
            return super().encode_prepared(images)

    with pytest.raises(BusyError, match="changed by another writer"):
        add_to_memory(taught, address, Slow(), photos(6, "oak"))
    found = open_memory(taught, address)
    assert {category.name for category in found.categories} == {"ash", "birch", "fir"}
    assert verify_memory(taught, address) == []


def test_a_claim_is_renewed_while_it_is_held(taught, address, monkeypatch):
    monkeypatch.setattr(claims, "_RENEW_S", 0.05)
    folder = open_memory(taught, address).folder
    files = origin_of(folder).files
    with writer_lock(folder):
        first = files.rows("writer/")
        end = time.monotonic() + 20
        while files.rows("writer/") == first:
            assert time.monotonic() < end
            time.sleep(0.05)
    assert files.rows("writer/") == {}


def test_an_interrupted_creation_goes_on(tmp_path, address, monkeypatch):
    code = """
import rar_agent.memory.teaching.learn as learn
import rar_agent.memory.teaching.seeing as seeing
learn.SEGMENT = 6
commit = MilvusOrigin.commit
def once(self, manifest, *given):
    commit(self, manifest, *given)
    if manifest.generation == 2:
        os._exit(9)
MilvusOrigin.commit = once
seeing.CPU_BATCH = 6
create_memory(home, address, TinyEncoder(), photos(6, 'ash', 'birch', 'fir', 'oak'))
"""
    assert run(code, tmp_path / "elsewhere", address)[0] == 9
    encoder = TinyEncoder()  # and on another machine
    create_memory(tmp_path, address, encoder, photos(6, "ash", "birch", "fir", "oak"))
    assert encoder.images == 12
    create_memory(tmp_path, "disk", encoder, photos(6, "ash", "birch", "fir", "oak"))
    assert_same(open_memory(tmp_path, "disk"), open_memory(tmp_path, address))


def test_a_creation_that_died_before_there_was_an_index_goes_on(tmp_path, address):
    code = """
from rar_agent.scale.milvus.rows import Rows
Rows._index_numbers = lambda *_: os._exit(9)
create_memory(home, address, TinyEncoder(), photos(6, 'ash', 'birch'))
"""
    assert run(code, tmp_path / "elsewhere", address)[0] == 9
    for name in (address, "disk"):
        create_memory(tmp_path, name, TinyEncoder(), photos(6, "ash", "birch"))
    assert_same(open_memory(tmp_path, "disk"), open_memory(tmp_path, address))
    rows = origin_of(open_memory(tmp_path, address).folder).rows
    assert describe(rows._server, rows.collection).kind == "FLAT"


def _sees_nothing(files, monkeypatch):
    """A server that answers the next question for generations with none."""
    rows, asked = files.rows, []

    def once(prefix):
        if prefix == "current/" and not asked:
            asked.append(prefix)
            return {}
        return rows(prefix)

    monkeypatch.setattr(files, "rows", once)


@pytest.mark.parametrize("when", ["as it begins", "as it ends"])
def test_one_empty_answer_drops_nothing(taught, address, monkeypatch, when):
    folder = open_memory(taught, address).folder
    files = origin_of(folder).files
    if when == "as it begins":
        _sees_nothing(files, monkeypatch)
    with writer_lock(folder):
        if when == "as it ends":
            _sees_nothing(files, monkeypatch)
    monkeypatch.undo()
    assert len(open_memory(taught, address).entries) == 12


def test_nothing_is_dropped_after_a_commit(tmp_path, address, monkeypatch):
    commit = MilvusOrigin.commit

    def committed(self, *given):
        commit(self, *given)
        monkeypatch.setattr(self.files, "rows", lambda prefix: {})
        monkeypatch.setattr(claims.Claim, "require", lambda self: None)

    monkeypatch.setattr(MilvusOrigin, "commit", committed)
    create_memory(tmp_path, address, TinyEncoder(), photos(6, "ash", "birch"))
    monkeypatch.undo()
    assert len(open_memory(tmp_path, address).entries) == 12


def test_who_lost_its_claim_drops_nothing(taught, address):
    folder = open_memory(taught, address).folder
    origin = origin_of(folder)
    with writer_lock(folder):
        origin.files.drop_rows(origin.files.rows("writer/"))  # another one took over
        origin._is_new = True
        with pytest.raises(BusyError, match="taken over by another writer"):
            origin.delete()
    with writer_lock(folder):
        origin.files.drop_rows(origin.files.rows("writer/"))
        generations = origin.files.rows("current/")
        origin.files.drop_rows(generations)
        origin._is_new = True  # and the other one is about to commit
    origin.files.put_rows(generations.items())
    assert len(open_memory(taught, address).entries) == 12


def test_a_process_that_is_unknown_here_may_live_elsewhere(taught, address, monkeypatch):
    """Hosts of one name, and containers: only the lease says that a writer died."""
    monkeypatch.setattr(claims, "_WAIT_S", 0.0)
    files = origin_of(open_memory(taught, address).folder).files
    gone = {"pid": 2**22 + 1, "host": socket.gethostname(), "since": 1.0, "seen": time.time()}
    here = claims._machine()
    boot, _, space = here.partition("/")
    assert boot
    assert space.isdecimal()
    for machine in ("another/1", f"{boot}/1", f"another/{space}", ""):
        files.put_rows([("writer/one", json.dumps({**gone, "machine": machine}))])
        with pytest.raises(BusyError, match="is being written by process"):
            claims.Claim(files, address).take()
    files.put_rows([("writer/one", json.dumps({**gone, "machine": here}))])
    monkeypatch.setattr(claims, "_machine", lambda: "")  # cannot be read here
    with pytest.raises(BusyError, match="is being written by process"):
        claims.Claim(files, address).take()
    monkeypatch.undo()
    claims.Claim(files, address).take()


@pytest.mark.parametrize(
    "said",
    [
        '"pid": 1e999',
        '"pid": 0',
        '"pid": -1',
        f'"pid": {10**30}',
        f'"pid": {2**31}',
        '"pid": true',
        '"pid": ' + "[" * 30_000 + "]" * 30_000,
        '"seen": NaN',
        '"seen": Infinity',
        '"seen": 1e300',
        f'"seen": {10**400}',
        '"since": NaN',
        '"machine": null, "host": {}, "seen": null',
    ],
)
def test_a_row_that_no_writer_wrote_holds_nobody_up(taught, address, said):
    files = origin_of(open_memory(taught, address).folder).files
    row = f'"pid": 1, "host": "a", "machine": "", "since": 1.0, "seen": {time.time()}'
    files.put_rows([("writer/one", "{" + row + ", " + said + "}")])
    claim = claims.Claim(files, address)
    claim.take()
    assert len(files.rows("writer/")) == 1
    assert "process" in claims._describe("{" + row + ", " + said + "}")


def test_a_claim_that_was_not_renewed_for_the_lease_is_lost_for_good(taught, address, monkeypatch):
    files = origin_of(open_memory(taught, address).folder).files
    monkeypatch.setattr(claims, "_RENEW_S", 0.05)
    claim = claims.Claim(files, address)
    claim.take()
    monkeypatch.setattr(claims, "LEASE_S", 0.2)
    time.sleep(0.3)
    before = files.rows("writer/")  # nobody has taken over yet, but could
    with pytest.raises(BusyError, match="taken over by another writer, or may have been"):
        claim.require()
    monkeypatch.setattr(claims, "LEASE_S", 120.0)
    thread = threading.Thread(target=claim.keep)
    thread.start()
    time.sleep(0.5)
    claim.stop()
    thread.join()
    assert files.rows("writer/") == before
    with pytest.raises(BusyError):
        claim.require()


def test_a_claim_that_was_taken_over_does_not_come_back(taught, address, monkeypatch):
    """Its renewal was on the way, for longer than the lease."""
    files = origin_of(open_memory(taught, address).folder).files
    monkeypatch.setattr(claims, "_RENEW_S", 0.05)
    claim = claims.Claim(files, address)
    claim.take()
    monkeypatch.setattr(claims, "LEASE_S", 0.5)
    put, late = files.put_rows, []

    def slowly(rows):
        files.drop_rows([key for key, _ in rows])  # by another writer
        time.sleep(0.7)
        put(rows)
        late.append(rows)

    monkeypatch.setattr(files, "put_rows", slowly)
    thread = threading.Thread(target=claim.keep)
    thread.start()
    end = time.monotonic() + 20
    while not late:
        assert time.monotonic() < end
        time.sleep(0.05)
    claim.stop()
    thread.join()
    assert files.rows("writer/")
    with pytest.raises(BusyError, match="taken over by another writer"):
        claim.require()
    claim.give_back()


def test_a_generation_that_came_while_it_was_sent_is_not_replaced(taught, address, monkeypatch):
    monkeypatch.setattr(claims.Claim, "take", lambda self: self._renew())
    monkeypatch.setattr(claims.Claim, "require", lambda self: None)
    put = MilvusOrigin.put

    def overtaken(self, *given):
        put(self, *given)
        done = run(
            "import rar_agent.scale.milvus.claim as c\n"
            "c.Claim.take = lambda self: self._renew()\n"
            "add_to_memory(home, address, TinyEncoder(), photos(6, 'fir'))",
            taught / "elsewhere",
            address,
        )
        assert done[0] == 0, done[2]

    monkeypatch.setattr(MilvusOrigin, "put", overtaken)
    with pytest.raises(BusyError, match="changed by another writer"):
        add_to_memory(taught, address, TinyEncoder(), photos(6, "oak"))
    monkeypatch.undo()
    found = open_memory(taught, address)
    assert {category.name for category in found.categories} == {"ash", "birch", "fir"}
    assert verify_memory(taught, address) == []
