"""A process that forks writers, for tests that kill them. Nothing here loads torch.

    python -m tests.memory.teaching.writer HOME

Reads one JSON request a line and forks a child for each: `{"seed": 7, "build": 3}` makes random
changes until it is killed; `{"seed": 7, "changes": 1, "die_at": 12}` makes one and dies without
clean-up before the 12th file system call. Writes one JSON line before and after each change, and
`{"dead": status}` when the child is gone.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from random import Random

from rar_agent.errors import RarError
from rar_agent.memory import compact_memory, create_memory, delete_memory, open_memory
from rar_agent.memory.format.generation import read_manifest
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.open import open_generation
from rar_agent.memory.teaching import learn, seeing
from tests.memory.format.committed import leftovers
from tests.memory.teaching.expected import (
    SIDE,
    Change,
    Expected,
    RefusedError,
    some_change,
    some_samples,
)
from tests.memory.teaching.tiny import TinyEncoder

NAME = "m"


def built_from(build: int):
    """What the build of a number learns; odd ones have texts."""
    return some_samples(Random(build), 60, build % 2 == 1)


def say(**said):
    os.write(1, json.dumps(said).encode() + b"\n")


def write(home: Path, request: dict) -> None:
    """Make changes, and say before and after each what should be there."""
    seeing.CPU_BATCH, learn.SEGMENT = 4, 8  # so that a build of a few images is committed in parts
    random, folder = Random(request["seed"]), memory_folder(home, NAME)
    die_at, kind = request.get("die_at"), request.get("kind")
    for _ in range(request.get("changes", 1_000_000)):
        change = None
        if not (folder / "CURRENT").exists() or read_manifest(folder).state == "building":
            now = Expected()
            change = Change("teach", (built_from(request["build"]),))
            kind = "create"
        elif kind == "delete" or (kind is None and random.random() < 0.02):
            kind, now = "delete", Expected.of(open_memory(home, NAME))
        else:
            now = Expected.of(open_memory(home, NAME))
            while change is None or (request.get("kind") and not _wanted(change, request["kind"])):
                change = some_change(random, now)
                try:
                    now.after(change)
                except RefusedError:
                    change = None
            kind = change.kind
        new = now.after(change).digest() if change else ""
        say(doing=kind, old="" if kind == "create" else now.digest(), new=new)
        if die_at is not None:
            _die_at(folder, die_at)
        if kind == "delete":
            delete_memory(home, NAME)
        elif kind == "create":
            _create(home, folder, request["build"])
        else:
            change.apply(home, NAME, TinyEncoder(), random.choice(["auto", "never"]))
        if kind != "delete":
            assert leftovers(folder) == []
        assert "torch" not in sys.modules  # each fork would import it
        say(done=kind, new=new)
        kind = request.get("kind")


def _wanted(change: Change, kind: str) -> bool:
    renames = change.kind == "update" and "rename" in change.options
    return ("rename" if renames else change.kind) == kind


def _create(home: Path, folder: Path, build: int) -> None:
    """Go on with a build; what is committed is not encoded again."""
    encoder, before = TinyEncoder(), 0
    if (folder / "CURRENT").exists():
        before = len(open_generation(folder, read_manifest(folder)).entries)
    memory = create_memory(home, NAME, encoder, built_from(build), thumbnails=SIDE).memory
    assert encoder.images == memory.image_count - before


def _die_at(folder: Path, count: int) -> None:
    left = [count]
    calls = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}

    def audit(event, args):
        if event in calls and str(args[0]).startswith(str(folder)):
            left[0] -= 1
            if left[0] < 0:
                os._exit(77)

    sys.addaudithook(audit)


def migrate(home: Path, request: dict) -> None:
    say(doing="migrate", old="", new="")
    _die_at(memory_folder(home, "old"), request["die_at"])
    compact_memory(home, "old")
    say(done="migrate", new="")


def main() -> None:
    assert "torch" not in sys.modules
    say(ready=os.getpid())
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            say(pid=os.getpid())
            try:
                home = Path(request.get("home", sys.argv[1]))
                (migrate if request.get("migrate") else write)(home, request)
            except (Exception, RarError):
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        say(dead=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
