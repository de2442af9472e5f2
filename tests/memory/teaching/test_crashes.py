"""Contract 2, for every change: whenever the writer dies, the old state or the new one is there.

RAR_KILLS sets how often writers are killed at random points (200 where it is not set).
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from rar_agent.errors import ConfigurationError, DamagedDataError, NotFoundError
from rar_agent.memory import compact_memory, create_memory, open_memory, verify_memory
from rar_agent.memory.format.generation import read_manifest
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.open import open_generation
from tests.memory.format.committed import leftovers
from tests.memory.teaching.expected import SIDE, Expected
from tests.memory.teaching.tiny import TinyEncoder
from tests.memory.teaching.writer import NAME, built_from

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("RAR_KILLS", "200"))
V1 = Path(__file__).parents[1] / "format" / "v1.zip"


class Writers:
    """Forks writers, and listens to them."""

    def __init__(self, root, home):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.memory.teaching.writer", str(home)],
            cwd=root,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._child = self.hear()["ready"]

    def begin(self, **request):
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        self._child = self.hear()["pid"]
        return self._child

    def hear(self):
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(self._process.stderr.read().decode())
        return json.loads(line)

    def until_dead(self, said):
        """All that the child says from here on, and its exit status."""
        while "dead" not in (line := self.hear()):
            said.append(line)
        if line["dead"] not in (0, 77, -signal.SIGKILL):
            self._process.stdin.close()
            why = self._process.stderr.read().decode()
            raise AssertionError(f"{line} after {said[-2:]}: {why}")
        return said, line["dead"]

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def writers(request, tmp_path):
    running = Writers(request.config.rootpath, tmp_path)
    yield running
    running.close()


def state(home, name=NAME):
    """Digest of what is there; `building` and what of it, or nothing."""
    try:
        memory = open_memory(home, name)
    except NotFoundError:
        return "", None
    except ConfigurationError as error:
        assert "incomplete" in str(error)  # noqa: PT017
        folder = memory_folder(home, name)
        return "building", Expected.of(open_generation(folder, read_manifest(folder)))
    assert verify_memory(home, name) == []
    return Expected.of(memory).digest(), None


def check(home, said, build):
    """What is there is what was last said to be, or what was about to be."""
    found, part = state(home)
    last = said[-1]
    if part is not None:
        assert last.get("doing") == "create"
        whole = Expected().after_teaching(built_from(build))
        for name, images in part.images.items():
            assert images.items() <= whole.images[name].items()
    elif "done" in last:
        assert found == last["new"]
    else:
        assert found in (last["old"], last["new"])
    return "building" if part else "old" if found == last.get("old") else "new"


def test_kill_minus_nine_at_random_points(writers, tmp_path):
    """Of building, adding, removing, renaming, merging, moving, compacting and deleting."""
    random, seen, build = Random(0), Counter(), 0
    for kill in range(KILLS):
        pid = writers.begin(seed=kill, build=build)
        said = [writers.hear() for _ in range(random.choice((1, 1, 1, 3, 5)))]
        time.sleep(random.uniform(0, 0.1))
        os.kill(pid, signal.SIGKILL)
        said, status = writers.until_dead(said)
        assert status == -signal.SIGKILL
        found = check(tmp_path, said, build)
        seen["doing" in said[-1]] += 1
        seen[said[-1].get("doing"), found] += 1
        for line in said:
            seen[line.get("done")] += 1
        if not _exists(tmp_path):
            build += 1  # the next one is built of something else
    print(dict(seen))  # noqa: T201 - what was hit, with -s
    assert seen[True] > KILLS / 2  # most hit a change, not the time between two
    if KILLS >= 200:
        old = sum(n for key, n in seen.items() if isinstance(key, tuple) and key[1] == "old")
        assert old >= 20
        assert sum(n for key, n in seen.items() if isinstance(key, tuple) and key[1] == "new") >= 3


def _exists(home):
    return (memory_folder(home, NAME) / "CURRENT").exists()


CHANGES = ["teach", "remove", "update", "rename", "merge", "move", "compact", "delete", "create"]


@pytest.mark.parametrize("kind", CHANGES)
def test_death_before_every_single_step(writers, tmp_path, kind):
    """A change dies without clean-up before its 1st, 2nd, … file system call; then it is made."""
    build, seen = 1, Counter()
    if kind != "create":
        create_memory(tmp_path / "kept", NAME, TinyEncoder(), built_from(build), thumbnails=SIDE)
    for step in range(1_000):
        home = tmp_path / "now"
        shutil.rmtree(home, ignore_errors=True)
        if kind != "create":
            shutil.copytree(tmp_path / "kept", home)
        request = {"seed": 5, "build": build, "changes": 1, "kind": kind, "home": str(home)}
        writers.begin(die_at=step, **request)
        said, status = writers.until_dead([])
        seen[check(home, said, build)] += 1
        if status == 0:
            break
        if step % 3:
            continue
        # The next writer goes on, and nothing that the dead one left stays.
        if kind == "create" and seen["new"]:
            request["kind"] = "teach"  # it was done before the writer died
        writers.begin(**request)
        said, status = writers.until_dead([])
        assert (status, "done" in said[-1]) == (0, True)
        check(home, said, build)
        if _exists(home):
            assert leftovers(memory_folder(home, NAME)) == []
    else:
        raise AssertionError("it never ended")
    assert step > 8
    assert min(seen["new"], seen["old"] + seen["building"]) >= 1


def test_death_before_every_single_step_of_migration(writers, tmp_path):
    seen = Counter()
    for step in range(1_000):
        home = tmp_path / "now"
        shutil.rmtree(home, ignore_errors=True)
        zipfile.ZipFile(V1).extractall(home)
        writers.begin(migrate=True, die_at=step, home=str(home))
        _, status = writers.until_dead([])
        try:
            memory = open_memory(home, "old")
        except ConfigurationError as error:
            assert "memory compact old" in str(error)  # noqa: PT017
            memory = compact_memory(home, "old").memory
            seen["old"] += 1
        else:
            seen["new"] += 1
        assert len(memory.entries) == 7
        assert verify_memory(home, "old") == []
        if status == 0:
            break
    assert min(seen.values()) >= 1
    assert step > 8


def test_readers_beside_a_writer_always_see_one_state(writers, tmp_path):
    """Opening, searching and reading all, while generations come and go."""
    pid = writers.begin(seed=1, build=0)
    states, opened, end = set(), 0, time.monotonic() + 5
    query = np.full((1, TinyEncoder.dimension), 0.25, np.float32)
    while time.monotonic() < end:
        try:
            memory = open_memory(tmp_path, NAME)
        except (NotFoundError, ConfigurationError):
            continue
        if len(memory.entries):
            memory.search(query, np.ones(1, np.float32))
        states.add(Expected.of(memory).digest())
        opened += 1
    os.kill(pid, signal.SIGKILL)
    said, _ = writers.until_dead([])
    assert states <= {line["new"] for line in said} | {line.get("old") for line in said}
    assert opened > 20
    assert len(states) > 3


def test_teaching_does_not_load_torch():
    code = "import sys, rar_agent.memory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_check_itself_can_fail(tmp_path):
    """A memory with a wrong vector is not taken for the right one."""
    create_memory(tmp_path, NAME, TinyEncoder(), built_from(0))
    folder = memory_folder(tmp_path, NAME)
    [path] = (folder / "data").glob("*.vectors")
    content = bytearray(path.read_bytes())
    content[7] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(AssertionError):
        state(tmp_path)
    path.unlink()
    with pytest.raises(DamagedDataError):
        state(tmp_path)
