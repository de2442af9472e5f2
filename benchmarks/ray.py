"""What Ray costs and gains on one machine: a memory made here, and by one worker and by two.

    python -m benchmarks.ray --photos 500 --repeats 3

Each way runs in a process of its own, and they take turns. `killed` is two workers, one of which
is killed when half is done.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

from benchmarks import process
from benchmarks.photos import photos
from rar_agent.garbage import keep_freed

WAYS = {"local": 0, "ray, 1 worker": 1, "ray, 2 workers": 2, "ray, 2 workers, 1 killed": 2}
_EACH_S = 0.1
_MEMORY_S = 3.0
"""Between two looks at the memory of all processes, which take a core for a while."""


_Mark = tuple[float, int, float]
"""Seconds, images that are done, seconds of processors."""


def run(way: str, count: int, seed: int) -> dict[str, float]:
    """Make a memory of photos; what it took."""
    keep_freed()
    from rar_agent.encoders import load_encoder
    from rar_agent.memory import create_memory
    from rar_agent.settings import load_settings

    made = photos(count, seed)
    with tempfile.TemporaryDirectory() as home:
        settings = load_settings(home=Path(home), device="cpu", ray_workers=WAYS[way] or None)
        encoder = load_encoder("builtin", settings)
        given = {str(n): made[n::8] for n in range(8)}
        engine: Any = "local"
        if WAYS[way]:
            from rar_agent.scale.ray import RayEngine

            engine = RayEngine(settings)
        marks: list[_Mark] = []
        begin = time.perf_counter()

        def progress(done: int, _: int | None) -> None:
            if not WAYS[way]:
                marks.append((time.perf_counter() - begin, done, time.process_time()))

        killing = way.endswith("killed")
        with _watching(Path(home) / "ray", begin, count, killing) as watched:
            create_memory(settings.home, "made", encoder, given, progress=progress, engine=engine)
            seconds = time.perf_counter() - begin
    marks = marks or watched.marks
    first, done, before = next(mark for mark in marks if mark[1])
    last, end, after = marks[-1]
    found = {
        "seconds": seconds,
        "images/s, all in all": count / seconds,
        "images/s, once it runs": (end - done) / (last - first) if last > first else 0.0,
        "s, to the first images": first,
        "MB, all processes": watched.most / 1e6,
    }
    if not killing:  # what the killed one used is not to be had
        each = 1e3 * (after - before) / max(1, end - done)
        found["ms of a processor an image, once it runs"] = each
    if watched.killed:
        found["s, from the kill to the end"] = last - watched.killed
    return found


@dataclass
class _Watched:
    """What was seen of a run.

    Attributes:
        marks: When some shard was done.
        most: Bytes that all processes had of their own at once (proportional set size).
        killed: When a worker was killed, in seconds; 0: none was.
    """

    marks: list[_Mark] = field(default_factory=list)
    most: float = 0.0
    killed: float = 0.0


@contextmanager
def _watching(folder: Path, begin: float, count: int, killing: bool) -> Iterator[_Watched]:
    """Look at a run from a thread; kill one of its workers when half is done."""
    seen, ended = _Watched(), threading.Event()

    def watch() -> None:
        looked = begin
        while not ended.wait(_EACH_S):
            if time.perf_counter() - looked >= _MEMORY_S:
                seen.most = max(seen.most, sum(_own_bytes(pid) for pid in _family()))
                looked = time.perf_counter()
            shards = len(list(folder.glob("*/lists/*")))
            done = len(list(folder.glob("*/done/*.npz"))) * count / shards if shards else 0
            at = time.perf_counter() - begin
            if done and (not seen.marks or done > seen.marks[-1][1]):
                seen.marks.append((at, int(done), _processors()))
            if killing and not seen.killed and 2 * done >= count:
                seen.killed = at
                os.kill(_workers()[0], signal.SIGKILL)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield seen
    finally:
        ended.set()
        watching.join()


def _family() -> dict[int, str]:
    """This process and all that it started, Ray's daemons and workers too; with their names."""
    parents, names = {}, {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            pid = int(place.name)
            parents[pid] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            names[pid] = (place / "cmdline").read_text(errors="replace")
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: names[pid] for pid in found if pid in names}


def _processors() -> float:
    """Seconds of processors of this process and of those that it started and that still run."""
    ticks = 0
    for pid in _family():
        with suppress(OSError, ValueError, IndexError):
            spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            ticks += sum(map(int, spent))
    return ticks / os.sysconf("SC_CLK_TCK")


def _workers() -> list[int]:
    return [pid for pid, name in _family().items() if name.startswith("ray::MapWorker")]


def _own_bytes(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024.0 * int(line.split()[1])
    return 0.0


def main() -> None:
    """Measure all ways in turns, and print a table: the median, the least and the most."""
    if sys.argv[1:] and sys.argv[1].startswith("{"):
        process.tell(run(**json.loads(sys.argv[1])))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    photos(asked.photos, asked.seed)  # not within anybody's time
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(asked.repeats):
        for way in WAYS:
            given = {"way": way, "count": asked.photos, "seed": asked.seed}
            found[way].append(process.ask(sys.executable, "benchmarks.ray", given))
    columns = list(dict.fromkeys(key for runs in found.values() for one in runs for key in one))
    lines = [f"| {asked.photos} photos | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for way, runs in found.items():
        cells = [_cell([one[key] for one in runs if key in one]) for key in columns]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    middle = f"{statistics.median(values):.3g}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3g} to {max(values):.3g})"


if __name__ == "__main__":
    main()
