"""One writer, who is known; any number of readers, who do not ask."""

import errno
import fcntl
import json
import re
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from rar_agent.errors import BusyError, ConfigurationError
from rar_agent.memory import delete_memory, open_memory
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.teaching.teach import changing
from tests.disks import read_only
from tests.memory.format.committed import extend
from tests.test_locks import refusing

HOLD = """
import sys
from pathlib import Path
from rar_agent.memory.format.lock import writer_lock
with writer_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def memory(tmp_path):
    return extend(tmp_path / "memories" / "m")


@pytest.fixture
def holder(memory):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(memory.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_another_process_is_named_with_its_age(memory, holder, tmp_path):
    owner = memory.folder / "writer.json"
    claim = json.loads(owner.read_bytes())
    assert claim["pid"] == holder.pid
    owner.write_text(json.dumps({**claim, "since": time.time() - 100}))
    with (
        pytest.raises(BusyError) as error,
        writer_lock(memory.folder, wait_s=0.05),
    ):
        pass
    said = re.search(r"process (\d+) on (\S+), for (\d+) s", str(error.value))
    assert (int(said[1]), said[2]) == (holder.pid, claim["host"])
    assert 99 <= int(said[3]) <= 110
    # Readers do not ask.
    assert len(open_memory(tmp_path, "m").categories) == 3
    for change in (
        lambda: changing(memory.folder).__enter__(),
        lambda: delete_memory(tmp_path, "m"),
    ):
        with pytest.raises(BusyError, match=str(holder.pid)):
            change()


def test_a_writer_that_waits_gets_it(memory, holder):
    holder.stdin.close()
    with writer_lock(memory.folder, wait_s=10):
        pass
    assert not (memory.folder / "writer.json").exists()


def test_a_killed_writer_holds_nothing(memory, holder):
    holder.kill()
    holder.wait()
    assert (memory.folder / "writer.json").exists()  # it could not clean up
    with writer_lock(memory.folder, wait_s=0.5):
        assert json.loads((memory.folder / "writer.json").read_bytes())["pid"] != holder.pid
    assert not (memory.folder / "writer.json").exists()


def test_an_owner_that_cannot_be_read_is_another_process(memory, holder):
    for claim in (b"", b"{}", b"[]", b'{"since": "x"}', b"\xff"):
        (memory.folder / "writer.json").write_bytes(claim)
        with pytest.raises(BusyError, match="another process"), writer_lock(memory.folder, 0.05):
            pass


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="RAR_HOME"), writer_lock(tmp_path / "file" / "m"):
        pass


def test_a_file_system_without_locks_is_no_writer_and_readers_do_not_ask(
    memory, tmp_path, monkeypatch
):
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    with (
        pytest.raises(ConfigurationError, match=r"cannot be locked in .*local disk"),
        writer_lock(memory.folder),
    ):
        pass
    assert len(open_memory(tmp_path, "m").categories) == 3


def test_a_writer_of_another_machine_that_did_not_end_is_told_of(memory, caplog):
    claim = {"pid": 7, "host": "elsewhere", "since": time.time() + 1e8}  # its clock is ahead
    (memory.folder / "writer.json").write_text(json.dumps(claim))
    with writer_lock(memory.folder):
        pass
    [said] = caplog.messages
    assert "does not share locks between machines" in said
    assert "process 7 on elsewhere, for 0 s" in said
    with writer_lock(memory.folder):
        pass
    assert len(caplog.messages) == 1


def test_a_folder_that_turns_read_only_meanwhile(memory, tmp_path):
    with (
        read_only(memory.folder),
        pytest.raises(ConfigurationError, match=f"'{memory.folder}/data'"),
    ):
        extend(memory.folder, after=memory)
    with ExitStack() as writing:
        writing.enter_context(writer_lock(memory.folder))
        with read_only(memory.folder):
            writing.close()  # who gives the lock back cannot say so
    assert (memory.folder / "writer.json").exists()
    assert len(open_memory(tmp_path, "m").categories) == 3
    with writer_lock(memory.folder):
        pass
