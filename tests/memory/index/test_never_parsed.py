"""FAISS parses no index that this machine did not write: what `faiss.read_index` is given, seen."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from rar_agent.memory import open_memory, verify_memory
from rar_agent.memory.exchange.export import export_memory
from rar_agent.memory.exchange.importing import import_memory
from rar_agent.memory.exchange.rar import import_rar
from rar_agent.memory.index.trust import Trust

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="links, pipes, paths of files")
memories = pytest.importorskip("fuzz.memories", exc_type=ImportError)
made = pytest.importorskip("fuzz.memories_made", exc_type=ImportError)


@pytest.fixture(scope="module")
def whole():
    with memories.made() as those:
        yield those.place / "whole"


@pytest.fixture(autouse=True)
def _this_machine(whole, monkeypatch):
    """It wrote those memories."""
    monkeypatch.setenv("XDG_STATE_HOME", str(whole.parent / "state"))


@pytest.fixture
def home(whole, tmp_path):
    """A memory with an index, copied to where it is changed."""
    shutil.copytree(whole / "memories" / "indexed", tmp_path / "memories" / "indexed")
    return tmp_path


@pytest.fixture
def parsed(monkeypatch):
    """Contents of what FAISS was given; it parses them all the same."""
    seen, read = [], faiss.read_index

    def reading(path, *rest):
        seen.append(Path(path).read_bytes())
        return read(path, *rest)

    monkeypatch.setattr(faiss, "read_index", reading)
    return seen


def index_of(home):
    [path] = (home / "memories" / "indexed" / "data").glob("*.faiss")
    return path


def asked(home, name="indexed"):
    memory = open_memory(home, name)
    found = memory.search(made.queries(), np.ones(2, np.float32), 3, method="knn")
    return [[c.category.name for c in one.candidates] for one in found]


def forge(home, content):
    """Another index under its own hash, named by a manifest that CURRENT names."""
    old, folder = index_of(home), home / "memories" / "indexed"
    name = f"{hashlib.sha256(content).hexdigest()}.faiss"
    old.unlink()
    (old.parent / name).write_bytes(content)
    path = folder / "generations" / "000001.json"
    manifest = json.loads(path.read_text())
    manifest["segments"][0]["index"]["file"] = {"name": name, "size": len(content)}
    path.write_text(json.dumps(manifest))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "CURRENT").write_text(json.dumps({"generation": 1, "sha256": digest}))


def test_what_this_machine_wrote_is_parsed(whole, home, parsed):
    known = asked(whole)
    assert parsed == [index_of(whole).read_bytes()]
    assert asked(home) == known
    assert len(parsed) == 2  # a copy of it, after its content was hashed


@pytest.mark.parametrize("what", ["longer", "flipped", "other", "empty"])
def test_a_forged_index_is_not(whole, home, parsed, what):
    content = bytearray(index_of(home).read_bytes())
    if what == "longer":
        content += b"more"
    elif what == "flipped":
        content[100] ^= 1
    elif what == "other":
        content = bytearray(b"IxMp" + bytes(1_000))
    else:
        content.clear()
    forge(home, bytes(content))
    known = asked(whole)
    del parsed[:]
    assert verify_memory(home, "indexed") == []  # all hashes are right
    assert asked(home) == known  # exactly, without it
    assert parsed == []


@pytest.mark.parametrize("what", ["record", "machine", "changed", "link", "pipe", "folder"])
def test_nor_one_without_its_record_or_in_another_guise(home, parsed, what, tmp_path, monkeypatch):
    path = index_of(home)
    content = path.read_bytes()
    if what in ("record", "machine"):
        state = tmp_path / "state"
        shutil.copytree(Path(os.environ["XDG_STATE_HOME"]), state)
        monkeypatch.setenv("XDG_STATE_HOME", str(state))
        records = state / "rar-agent" / "indexes"
        (records / (f"{path.stem}.json" if what == "record" else "machine")).unlink()
    elif what == "changed":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.unlink()
        if what == "link":  # even to the very same content
            (tmp_path / "elsewhere").write_bytes(content)
            path.symlink_to(tmp_path / "elsewhere")
        elif what == "pipe":
            os.mkfifo(path)
        else:
            path.mkdir()
    assert len(asked(home)) == 2
    assert parsed == []


def test_a_swap_after_the_check_changes_nothing(home, parsed, monkeypatch):
    """Of all moments for a swap the worst: the file was checked and is about to be parsed."""
    path, opened = index_of(home), Trust.opened
    content = path.read_bytes()

    def swapping(self, asked_for, sha256):
        held = opened(self, asked_for, sha256)

        class Swapped:
            def __enter__(self):
                found = held.__enter__()
                path.unlink()
                path.symlink_to("/etc/passwd")
                return found

            def __exit__(self, *error):
                return held.__exit__(*error)

        return Swapped()

    monkeypatch.setattr(Trust, "opened", swapping)
    asked(home)
    assert parsed == [content]


def test_an_imported_memory_has_no_index_until_it_is_made_here(whole, tmp_path, parsed):
    export_memory(open_memory(whole, "indexed"), tmp_path / "exported")
    assert not [path for path in (tmp_path / "exported").iterdir() if path.suffix == ".faiss"]
    memory = import_memory(tmp_path, "imported", tmp_path / "exported")
    assert [segment.index for segment in memory.manifest.segments] == [None]
    assert asked(tmp_path, "imported") == asked(whole)
    assert len(parsed) == 1  # that of the memory here


def test_the_reference_codes_index_is_read_without_faiss(tmp_path, parsed):
    rows = made.queries()
    index = faiss.IndexHNSWFlat(rows.shape[1], 4, faiss.METRIC_INNER_PRODUCT)
    index.add(rows)
    faiss.write_index(index, str(tmp_path / "x.index"))
    (tmp_path / "x.txt").write_text("".join(f"a{i}/1.jpg {i}\n" for i in range(len(rows))))
    memory = import_rar(tmp_path, "rar", tmp_path / "x.index", tmp_path / "x.txt", "builtin")
    assert np.allclose(memory.entries.vectors(np.arange(len(rows))), rows, atol=1e-6)
    assert parsed == []
