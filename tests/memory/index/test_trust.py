import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rar_agent.errors import ConfigurationError, InputError
from rar_agent.memory.index import trust as trust_module
from rar_agent.memory.index.read import open_index
from rar_agent.memory.index.trust import Trust


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"index" * 1_000)
    trust = Trust(tmp_path / "state")
    trust.written(path, digest(path))
    return trust, path, digest(path)


def record_of(tmp_path, sha256):
    return tmp_path / "state" / "indexes" / f"{sha256}.json"


def test_only_what_this_machine_wrote_may_be_parsed(tmp_path, written):
    trust, path, sha256 = written
    assert trust.may_parse(path, sha256)
    assert Trust(tmp_path / "state").may_parse(path, sha256)
    assert not Trust(tmp_path / "elsewhere").may_parse(path, sha256)
    other = tmp_path / "other"
    other.write_bytes(b"index" * 999)
    assert not trust.may_parse(other, digest(other))
    assert not trust.may_parse(other, sha256)
    assert not trust.may_parse(tmp_path / "missing", sha256)


def test_a_copy_is_hashed_and_then_known(tmp_path, written):
    trust, path, sha256 = written
    copy = tmp_path / "copy"
    shutil.copyfile(path, copy)
    path.unlink()
    assert trust.may_parse(copy, sha256)
    record = json.loads(record_of(tmp_path, sha256).read_text())
    assert record["inode"] == copy.stat().st_ino


def test_same_size_other_content_is_refused(written):
    trust, path, sha256 = written
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)
    assert not trust.may_parse(path, sha256)
    assert not trust.may_parse(path, digest(path))


def test_an_unchanged_file_is_not_read_again(written, monkeypatch):
    trust, path, sha256 = written

    def read(file):
        raise AssertionError

    monkeypatch.setattr(trust_module, "_hash", read)
    assert trust.may_parse(path, sha256)


def test_a_time_that_was_set_back_hides_no_change(written):
    trust, path, sha256 = written
    times = path.stat()
    with path.open("r+b") as file:
        file.write(b"I")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not trust.may_parse(path, sha256)


def test_a_record_without_all_times_leads_to_hashing(tmp_path, written):
    """One that an earlier version wrote."""
    trust, path, sha256 = written
    record = json.loads(record_of(tmp_path, sha256).read_text())
    whole = record.copy()
    del record["ctime_ns"]
    record_of(tmp_path, sha256).write_text(json.dumps(record))
    assert trust.may_parse(path, sha256)
    assert json.loads(record_of(tmp_path, sha256).read_text()) == whole


def test_a_link_to_the_file_is_not_the_file(tmp_path, written):
    trust, path, sha256 = written
    link = tmp_path / "link"
    link.symlink_to(path)
    assert not trust.may_parse(link, sha256)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert not trust.may_parse(pipe, sha256)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no paths of opened files")
@pytest.mark.parametrize("swap", ["rename", "link", "remove"])
def test_what_was_checked_is_what_is_read(tmp_path, written, swap):
    """Another file that takes the name between the check and FAISS is not the one that is read."""
    trust, path, sha256 = written
    content = path.read_bytes()
    other = tmp_path / "other"
    other.write_bytes(b"forged" * 1_000)
    with trust.opened(path, sha256) as held:
        path.unlink()
        if swap == "rename":
            other.rename(path)
        elif swap == "link":
            path.symlink_to(other)
        assert held.read_bytes() == content
    assert not trust.may_parse(path, sha256)


def test_a_copied_state_folder_does_not_speak_for_another_machine(tmp_path, written):
    """Records that came along with a memory name a machine that is not this one."""
    trust, path, sha256 = written
    there = tmp_path / "there"
    other = Trust(there)
    second = tmp_path / "second"
    second.write_bytes(b"another")
    other.written(second, digest(second))
    shutil.copyfile(record_of(tmp_path, sha256), there / "indexes" / f"{sha256}.json")
    assert trust.may_parse(path, sha256)
    assert not other.may_parse(path, sha256)
    (tmp_path / "state" / "indexes" / "machine").unlink()
    assert not trust.may_parse(path, sha256)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 10_000), bits=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_record_counts_as_none_or_as_what_it_was(tmp_path, written, at, bits, cut):
    """A flip in the size, time or inode leads to hashing, never to trust in other content."""
    trust, path, sha256 = written
    record = record_of(tmp_path, sha256)
    data = bytearray(record.read_bytes())
    at %= len(data)
    damaged = data[:at] if cut else data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]
    good, content = bytes(data), path.read_bytes()
    try:
        record.write_bytes(damaged)
        trusted = trust.may_parse(path, sha256)
        assert not (cut and trusted)
        path.write_bytes(content[:-1] + b"!")
        record.write_bytes(damaged)
        assert not trust.may_parse(path, sha256)
    finally:
        path.write_bytes(content)
        record.write_bytes(good)


@pytest.mark.parametrize("record", [b"", b"[]", b"{}", b"null", b"\xff", b'{"sha256": 5}'])
def test_no_record_at_all(tmp_path, written, record):
    trust, path, sha256 = written
    record_of(tmp_path, sha256).write_bytes(record)
    assert not trust.may_parse(path, sha256)


@pytest.mark.parametrize("sha256", ["", "../machine", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_what_is_not_a_sha256_names_no_record(tmp_path, written, sha256):
    trust, path, _ = written
    assert not trust.may_parse(path, sha256)
    with pytest.raises(InputError):
        trust.written(path, sha256)


def test_a_state_folder_that_cannot_be_written_is_said(tmp_path, written):
    _, path, sha256 = written
    (tmp_path / "file2").write_bytes(b"")
    with pytest.raises(ConfigurationError) as error:
        Trust(tmp_path / "file2").written(path, sha256)
    assert error.value.fix
    assert not Trust(tmp_path / "file2").may_parse(path, sha256)
    with pytest.raises(InputError):
        Trust(tmp_path / "state").written(tmp_path / "missing", sha256)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kind=st.sampled_from(["hnsw", "ivf", "ivf-pq"]), data=st.data())
def test_a_damaged_index_file_is_never_parsed(tmp_path, built, kind, data):
    """Any flip or cut: trust says no, and what it says yes to opens."""
    content = built.path(kind).read_bytes()
    path = tmp_path / "index"
    path.write_bytes(content)
    trust, sha256 = Trust(tmp_path / "state"), hashlib.sha256(content).hexdigest()
    trust.written(path, sha256)
    damaged = bytearray(content)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
            damaged[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    assert trust.may_parse(path, sha256) == (damaged == content)
    path.write_bytes(content)
    assert trust.may_parse(path, sha256)
    assert len(open_index(path, built.specs[kind], built.vectors)) == len(built.vectors)
