"""What stands in a file's place: only a regular file is read, and an error names it."""

import hashlib
import json
import os
import sys

import pytest

from rar_agent.errors import DamagedDataError
from rar_agent.memory import open_memory, verify_memory
from rar_agent.memory.format.opened import open_regular, read_regular, reason
from tests.memory.format.committed import extend

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")


@pytest.fixture
def folder(tmp_path):
    return extend(tmp_path / "memories" / "m").folder


def put(path, what, tmp_path):
    """Something else in a file's place."""
    content = path.read_bytes()
    path.unlink()
    if what == "link":
        (tmp_path / "outside").write_bytes(content)
        path.symlink_to(tmp_path / "outside")
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()


@pytest.mark.parametrize("what", ["link", "device", "pipe", "folder"])
@pytest.mark.parametrize("kind", ["CURRENT", "generations/*.json", "data/*.npz", "data/*.vectors"])
def test_what_is_no_file_is_refused_by_name(folder, tmp_path, kind, what):
    [path] = folder.glob(kind)
    put(path, what, tmp_path)
    with pytest.raises(DamagedDataError, match=path.name) as caught:
        open_memory(tmp_path, "m")
    assert caught.value.fix
    if path.parent.name == "data":
        assert [path.name in line for line in verify_memory(tmp_path, "m")] == [True]


@pytest.mark.parametrize("name", ["data", "generations"])
def test_a_folder_may_not_be_a_link(folder, tmp_path, name):
    (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    with pytest.raises(DamagedDataError, match=f"{name} of memory 'm' is a link") as caught:
        open_memory(tmp_path, "m")
    assert "copy of what it leads to" in caught.value.fix
    assert "delete" not in caught.value.fix  # nothing is lost
    (folder / name).unlink()
    (tmp_path / "outside").rename(folder / name)
    assert open_memory(tmp_path, "m").name == "m"


def test_reading_ends(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular(path, 4)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")


def test_a_reason_is_one_line_that_a_terminal_may_be_shown():
    assert reason(ValueError("a\n\x1b[31mb\u202e\ud800 c")) == "a ?[31mb?? c"
    assert len(reason(ValueError("a" * 10_000))) == 600
    assert reason(ValueError()) == "ValueError"
    assert reason(KeyError("id")) == "it has no 'id'"


def commit(folder, change):
    """Forge the manifest."""
    [path] = (folder / "generations").iterdir()
    data = change(path.read_bytes())
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    (folder / "CURRENT").write_text(json.dumps({"generation": 1, "sha256": digest}))
    return path


def changed(**fields):
    return lambda data: json.dumps({**json.loads(data), **fields}).encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: b"[" * 100_000 + b"]" * 100_000, "recursion limit"),
        (lambda data: b"[]", "it is no JSON object"),
        (lambda data: b"\xff", "1 column 1"),
        (changed(generation=2), "generation: it is 2, and CURRENT says 1"),
        (changed(name="$(touch x)"), "name: "),
        (changed(name="../up"), "name: "),
        (changed(domain="a" * 100_001), "domain: "),
        (changed(dimension=2**40), "dimension: "),
        (changed(next_category=2**40), "next_category: "),
        (changed(next_entry=2**63), "next_entry: "),
        (changed(next_entry=1), "next_entry is 1"),
        (changed(category_count=-1), "category_count: "),
        (changed(more=1), "more: "),
    ],
)
def test_manifests_that_make_no_sense_are_refused_by_field(folder, tmp_path, change, said):
    path = commit(folder, change)
    with pytest.raises(DamagedDataError) as caught:
        open_memory(tmp_path, "m")
    assert f"{path} is damaged: " in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1", "1e999", "1e9"])
def test_a_scale_that_none_can_be(folder, tmp_path, number):
    commit(
        folder, lambda data: data.replace(b'"text_scale": 10.0', f'"text_scale": {number}'.encode())
    )
    with pytest.raises(DamagedDataError, match=r"encoder\.text_scale: "):
        open_memory(tmp_path, "m")


def test_a_segment_that_is_there_twice(folder, tmp_path):
    def twice(data):
        tree = json.loads(data)
        tree["segments"] *= 2
        return json.dumps(tree).encode()

    commit(folder, twice)
    with pytest.raises(DamagedDataError, match="two segments have the entries"):
        open_memory(tmp_path, "m")


@pytest.mark.parametrize(
    "current",
    [
        "[" * 2_000,
        "{}",
        "[]",
        '{"generation": 1e400, "sha256": ""}',
        '{"generation": true, "sha256": ""}',
        '{"generation": -1, "sha256": ""}',
        '{"generation": 9223372036854775808, "sha256": ""}',
        '{"generation": "../../x", "sha256": ""}',
        '{"generation": 1, "sha256": 1}',
        " " * 5_000,
    ],
)
def test_what_current_may_not_say(folder, tmp_path, current):
    (folder / "CURRENT").write_text(current)
    with pytest.raises(DamagedDataError, match="CURRENT is damaged: "):
        open_memory(tmp_path, "m")
