"""A server that is away, damaged or hostile; and passwords, which are nowhere."""

import contextlib
import json
import logging
import re
import shutil
import sys

import numpy as np
import pytest

import rar_agent.memory.format.generation as generation
import rar_agent.scale.milvus.server as servers
from rar_agent.errors import (
    ConfigurationError,
    DamagedDataError,
    InputError,
    NotFoundError,
    RarError,
    ServerError,
)
from rar_agent.memory import create_memory, memory_folder, open_memory, verify_memory
from rar_agent.memory.drift import without
from rar_agent.memory.exchange.export import export_memory
from rar_agent.memory.exchange.importing import import_memory
from rar_agent.memory.format.generation import stamp
from rar_agent.memory.format.manifest import FileRef
from rar_agent.memory.format.origin import origin_of, refuse_address
from rar_agent.scale.milvus.files import chunk_key
from rar_agent.scale.milvus.migrate import migrate
from rar_agent.scale.milvus.origin import _once
from tests.memory.teaching.tiny import TinyEncoder
from tests.scale.milvus.conftest import Lite, free_port
from tests.scale.milvus.process import run
from tests.scale.milvus.same import assert_same, queries
from tests.scale.milvus.test_equivalence import photos

pytestmark = pytest.mark.slow


@pytest.fixture
def memory(tmp_path, address):
    samples = photos(6, "ash", "birch", "oak")
    create_memory(tmp_path, address, TinyEncoder(), samples, thumbnails=4)
    return open_memory(tmp_path, address)  # which has no vectors here


@pytest.fixture
def anew(memory, tmp_path, address):
    """Opens the memory as a machine that never saw it."""

    def opened():
        shutil.rmtree(tmp_path / "mirrors", ignore_errors=True)
        return open_memory(tmp_path, address)

    return opened


def collection_of(memory):
    return re.escape(origin_of(memory.folder).rows.collection)


def test_nobody_answers(tmp_path, monkeypatch, lite):
    monkeypatch.setattr(servers, "CONNECT_S", 0.5)
    port = free_port()
    for attempt in (open_memory, lambda *a: create_memory(*a, TinyEncoder(), photos(1, "ash"))):
        with pytest.raises(ServerError, match=f"milvus://127.0.0.1:{port} cannot be asked") as why:
            attempt(tmp_path, f"milvus://127.0.0.1:{port}/birds")
        assert "Check that Milvus runs there" in why.value.fix
        assert why.value.exit_code == 3


def test_a_server_that_goes_and_comes_back(tmp_path, monkeypatch, lite):
    (tmp_path / "own").mkdir()
    own = Lite(tmp_path / "own" / "data")
    try:
        address = own.address("birds")
        memory = create_memory(tmp_path, address, TinyEncoder(), photos(6, "ash", "oak")).memory
        create_memory(tmp_path, "disk", TinyEncoder(), photos(6, "ash", "oak"))
        memory = open_memory(tmp_path, address)
        monkeypatch.setattr(generation, "FRESH_S", 0.0)
        asked = origin_of(memory.folder)._asked
        monkeypatch.setattr(asked, "ask", _with_limit(asked.ask, 1.0))
        own.stop()
        with pytest.raises(ServerError, match=r"cannot be asked \(query\)"):
            memory.search(*queries())
        with pytest.raises(ServerError):
            open_memory(tmp_path, address)
        assert stamp(memory.folder) == b""  # so that it is opened again, which says why
        own.start()
        disk = open_memory(tmp_path, "disk")
        assert_same(disk, open_memory(tmp_path, address))
        assert_same(disk, memory)
    finally:
        own.stop()


def _with_limit(ask, limit_s):
    return lambda method, **given: ask(method, **{**given, "limit_s": limit_s})


def test_the_extra_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rar-agent\[milvus\]'"):
        open_memory(tmp_path, "milvus://127.0.0.1:1/birds")


WRONG = {
    "category": ({"category": 7}, "has the category 7, not 0"),
    "modality": ({"modality": 1}, "has the modality 1, not 0"),
    "content": ({"content": "ff" * 32}, "has the content"),
    "length": ({"vector": np.full(16, 0.9, np.float32)}, "vector of the length 3.6, not 1"),
    "missing": (None, "is missing"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_row_that_was_changed(memory, what):
    change, why = WRONG[what]
    rows = origin_of(memory.folder).rows
    entry = memory.entries.fields(memory.entries.live[2:3])[0]
    number = int(entry["id"])
    rows.drop(np.array([number]))
    if change is not None:
        row = {
            "id": number,
            "category": int(entry["category"]),
            "modality": 0,
            "content": bytes(entry["content"]).hex(),
            "vector": memory.entries.vectors(memory.entries.live[:1])[0],
        }
        rows._server.ask("insert", collection_name=rows.collection, data=[{**row, **change}])
    match = rf"Entry {number} of collection {collection_of(memory)} at milvus://.* {why}"
    with pytest.raises(DamagedDataError, match=match):
        memory.entries.vectors(memory.entries.live)


def test_vectors_of_another_dimension(memory):
    rows, fields = origin_of(memory.folder).rows, memory.entries.fields(memory.entries.live)
    rows.discard()
    from rar_agent.scale.milvus.index import Index

    rows.make(8, Index("FLAT"))
    eight = np.tile(np.eye(8, dtype=np.float32)[0], (len(fields), 1))
    rows.insert(fields, eight)
    with pytest.raises(DamagedDataError, match=r"Entry \d+ of .* has 8 numbers, not 16"):
        memory.search(*queries())
    with pytest.raises((DamagedDataError, ServerError)):
        memory.search(*queries(), method="knn")


def test_a_collection_that_is_gone(memory, anew):
    origin_of(memory.folder).rows.discard()
    with pytest.raises(DamagedDataError, match="is missing, as is the collection"):
        anew().search(*queries())


class Lying:
    """Hits as a server could give them."""

    def __init__(self, ask, **change):
        self._ask, self._change = ask, change

    def __call__(self, method, **given):
        found = self._ask(method, **given)
        if method == "search":
            return [[{**dict(hit), **self._change} for hit in hits] for hits in found]
        return found


@pytest.mark.parametrize("distance", [float("nan"), float("inf"), 17.0])
def test_cosines_that_are_none(memory, monkeypatch, distance):
    asked = origin_of(memory.folder)._asked
    monkeypatch.setattr(asked, "ask", Lying(asked.ask, distance=distance))
    with pytest.raises(DamagedDataError, match=r"Entry \d+ of collection .* has the cosine"):
        memory.search(*queries(), method="knn")


def test_ids_that_nobody_wrote_are_no_entries(memory, monkeypatch):
    asked = origin_of(memory.folder)._asked
    monkeypatch.setattr(asked, "ask", Lying(asked.ask, id=10**15))
    vectors, _ = queries()
    assert (memory.nearest.rows("image", vectors, 5)[1] == -1).all()


def _replace_current(files, text):
    [key] = files.rows("current/")
    files.put_rows([(key, text)])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"current": 3, "size": 4}',
        '{"current": "{}", "size": 4}',
        json.dumps({"current": '{"generation": 1, "sha256": "../../etc/passwd"}', "size": 4}),
        json.dumps({"current": json.dumps({"generation": 1, "sha256": "a" * 64}), "size": 2**40}),
        json.dumps({"current": json.dumps({"generation": 2, "sha256": "a" * 64}), "size": 9}),
    ],
)
def test_a_row_that_names_no_generation(memory, anew, text):
    _replace_current(origin_of(memory.folder).files, text)
    with pytest.raises(DamagedDataError, match=r"Row 'current/0+1' of collection m\d+_files"):
        anew()


def _put_manifest(files, data, said=None):
    import hashlib
    import io

    digest = hashlib.sha256(said or data).hexdigest()
    ref = FileRef(name=f"{digest}.json", size=len(data))
    files.put(ref, io.BytesIO(data))
    current = json.dumps({"generation": 1, "sha256": digest})
    _replace_current(files, json.dumps({"current": current, "size": len(data)}))


def test_manifests_that_were_changed(memory, anew, tmp_path):
    files = origin_of(memory.folder).files
    data = memory.manifest.model_dump_json().encode()
    _put_manifest(files, data, said=b"another")
    with pytest.raises(DamagedDataError, match="does not have the sha256 of its name"):
        anew()
    _put_manifest(files, data.replace(memory.manifest.name.encode(), b"other"))
    with pytest.raises(DamagedDataError, match="it is of the memory 'other'"):
        anew()
    name = memory.manifest.segments[0].entries.name.encode()
    _put_manifest(files, data.replace(name, b"../../../../tmp/evil"))
    with pytest.raises(DamagedDataError, match=r"000001\.json is damaged"):
        anew()
    _put_manifest(files, data.replace(name, b"a" * 64 + b".entries"))
    with pytest.raises(DamagedDataError, match=r"Row 'a{64}.entries/0{8}' .* is missing"):
        anew()
    _put_manifest(files, data)
    assert len(anew().entries) == 18


@pytest.mark.parametrize("kind", ["entries", "sources", "jpegs"])
def test_files_that_were_changed(memory, anew, tmp_path, address, kind):
    files = origin_of(memory.folder).files
    [ref] = [ref for ref in memory.manifest.files() if ref.name.endswith(kind)]
    [(key, text)] = files.rows(chunk_key(ref.name, 0)).items()
    files.put_rows([(key, ("B" if text[0] == "A" else "A") + text[1:])])
    if kind == "jpegs":
        anew()
        assert [address in one and "has changed" in one for one in verify_memory(tmp_path, address)]
        assert len(verify_memory(tmp_path, address)) == 1
        return
    with pytest.raises(DamagedDataError, match=f"{ref.name}.* sha256 of its name"):
        anew()


def test_verify_finds_other_vectors_and_rows_too_many(memory, tmp_path, address):
    rows = origin_of(memory.folder).rows
    fields = memory.entries.fields(memory.entries.live)
    vectors = memory.entries.vectors(memory.entries.live)
    rows.drop(np.array([3]))
    rows.insert(fields[3:4], vectors[4:5])
    [wrong] = verify_memory(tmp_path, address)
    assert "have other vectors than were written" in wrong
    more = fields[:1].copy()
    more["id"] = -5
    rows.insert(more, vectors[:1])
    assert f"{rows.collection} at {origin_of(memory.folder).server} has 19 entries, not 18" in str(
        verify_memory(tmp_path, address)
    )


def test_a_mirror_that_was_damaged_is_fetched_again_once_it_is_deleted(memory, tmp_path, address):
    path = memory.folder / "data" / memory.manifest.segments[0].entries.name
    path.write_bytes(b"short")
    with pytest.raises(DamagedDataError, match=f"Delete {memory.folder}, which is a copy"):
        open_memory(tmp_path, address)
    shutil.rmtree(memory.folder)
    assert len(open_memory(tmp_path, address).entries) == 18


def test_passwords_are_nowhere(tmp_path, lite, monkeypatch, caplog, capfd):
    from rar_agent.cli import main

    secret = "Sesam-oeffne-dich"
    monkeypatch.setenv("RAR_HOME", str(tmp_path))
    monkeypatch.setenv("RAR_LOG_LEVEL", "debug")
    monkeypatch.setattr(servers, "CONNECT_S", 0.5)
    caplog.set_level(logging.DEBUG)
    create_memory(tmp_path, lite.address("secret"), TinyEncoder(), photos(6, "ash", "oak"))
    create_memory(tmp_path, "disk", TinyEncoder(), photos(6, "ash", "oak"))
    there, away = f"127.0.0.1:{lite.port}", f"127.0.0.1:{free_port()}"
    for place in (f"{there}/secret", f"{there}/nothing", f"{away}/birds", f"{there}/no-name"):
        address = f"milvus://root:{secret}@{place}"
        for command in (
            ["memory", "show", address],
            ["memory", "verify", address],
            ["memory", "compact", address],
            ["memory", "remove", address, "elm"],
            ["memory", "migrate", "disk", "--to", address],
            ["memory", "migrate", address, "--to", "back"],
            ["recognize", "--example", "--memory", address],
        ):
            monkeypatch.setattr(sys, "argv", ["rar-agent", *command])
            with contextlib.suppress(SystemExit):
                main()
    said = capfd.readouterr()
    assert "secret: 2 categories" in said.out
    assert "milvus://127.0.0.1" in said.err
    assert secret not in said.out + said.err + caplog.text
    for path in tmp_path.rglob("*"):
        assert secret not in str(path)
        assert path.is_dir() or secret.encode() not in path.read_bytes()
    _once.cache_clear()


def test_errors_in_python_have_no_password(tmp_path, lite, address, monkeypatch):
    """Not on the command line alone, where addresses are split before anything is asked."""
    secret = address.replace("//", "//root:Sesam9@")
    encoder, samples = TinyEncoder(), photos(6, "ash", "oak")
    create_memory(tmp_path, "disk", encoder, samples)
    export_memory(open_memory(tmp_path, "disk"), tmp_path / "exported")
    code = """
import rar_agent.memory.teaching.learn as learn
import rar_agent.memory.teaching.seeing as seeing
learn.SEGMENT = seeing.CPU_BATCH = 6
commit = MilvusOrigin.commit
def once(self, *given):
    commit(self, *given)
    os._exit(9)
MilvusOrigin.commit = once
create_memory(home, address, TinyEncoder(), photos(6, 'ash', 'oak'))
"""
    assert run(code, tmp_path / "elsewhere", address)[0] == 9
    attempts = {
        "is incomplete": lambda: open_memory(tmp_path, secret),
        "from other images": lambda: create_memory(tmp_path, secret, encoder, samples[:3]),
        "exists already": lambda: import_memory(tmp_path, secret, tmp_path / "exported"),
        "both addresses": lambda: migrate(tmp_path, secret, secret),
        "no memory 'none'": lambda: open_memory(tmp_path, re.sub("[^/]+$", "none", secret)),
        "is no address": lambda: open_memory(tmp_path, f"{secret}-1"),
    }
    try:
        for why, attempt in attempts.items():
            with pytest.raises(RarError, match=why) as refused:
                attempt()
            assert "Sesam9" not in f"{refused.value} {refused.value.message} {refused.value.fix}"
            assert "root" not in str(refused.value)
    finally:
        _once.cache_clear()


def test_a_refused_token_says_what_to_set(tmp_path, lite, monkeypatch, address):
    folder = memory_folder(tmp_path, address.replace("//", "//root:Geheimnis1@"))
    server = origin_of(folder)._asked
    assert server.address.token == "root:Geheimnis1"
    error = server._error("query", RuntimeError("auth check failure for root:Geheimnis1"))
    assert "Geheimnis1" not in str(error)
    assert "RAR_MILVUS_TOKEN" in error.fix


def test_addresses_that_clients_choose_are_not_asked(lite):
    from rar_agent.graph.shared import Wanted, shared_services

    refuse_address("birds", "other")
    refuse_address("milvus://a/b", "milvus://a/b")
    with pytest.raises(NotFoundError):
        refuse_address("milvus://a/b", "milvus://a/c")
    with pytest.raises(NotFoundError):
        shared_services(Wanted(memory=lite.address("birds")))


def test_what_is_measured_here_alone(memory):
    some = memory.entries.live[:1]
    with pytest.raises(InputError, match="rar-agent memory migrate"), without(memory, some):
        pass
