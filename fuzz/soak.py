"""Hours of mixed load on one process, whose memory and descriptors must stay flat.

    python -m fuzz.soak --minutes 125 --state FILE

Steps in a seeded random order recognise, teach, forget, evaluate, and inject faults; each result is
checked against what it must be, and counted. The state file holds the totals of all runs; another
run goes on where the last one stopped. `--report` prints them, `--repeat STEP` does a step again.
It ends with 1 where something was lost, duplicated or wrong, or grew.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from types import FrameType
from typing import ClassVar

if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported

from fuzz import soak_killed, soak_recognising, soak_teaching
from fuzz.soak_ground import Ground, made
from fuzz.soak_totals import SERIES, Ledger, Run, Totals, growing, report
from rar_agent.garbage import share_arenas

STEPS = soak_recognising.STEPS | soak_teaching.STEPS | soak_killed.STEPS
"""What a step may do, and how often it comes beside the others."""

_SAMPLE_S = 30.0
_SAVE_S = 60.0
_PAUSE_S = 2.0


def kind_of(seed: int, step: int) -> tuple[str, Random]:
    """What a step does, and its chance."""
    random = Random(f"{seed}/{step}")
    (kind,) = random.choices(list(STEPS), [weight for _, weight in STEPS.values()])
    return kind, random


def do(ground: Ground, kind: str, random: Random) -> None:
    """Do one step; what it raises is wrong."""
    ledger = ground.ledger
    ledger.begin(kind)
    before = ledger.totals.wrong, ledger.totals.lost, ledger.totals.duplicated
    try:
        STEPS[kind][0](ground, random)
    except Exception as error:
        told = traceback.extract_tb(error.__traceback__)[-4:]
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(told))
        ledger.expect(False, f"{type(error).__name__}: {str(error)[:300]} at {where}")
    after = ledger.totals.wrong, ledger.totals.lost, ledger.totals.duplicated
    if after != before:
        ground.begin_growing_again()  # one finding is not to be followed by others like it


def sample(ground: Ground) -> list[float]:
    """One number for each of `SERIES`, of this process at rest."""
    ground.rest()
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    of = {line[0]: line[1] for line in lines if len(line) > 1}
    children = 0
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has just ended
            children += len((thread / "children").read_text().split())
    found = {
        "rss_mb": int(of["VmRSS:"]) / 1_024,
        "anonymous_mb": int(of["RssAnon:"]) / 1_024,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())) - 1,  # one lists them
        "threads": int(of["Threads:"]),
        "children": children,
        "temporary": _files(ground.place / "tmp"),
        "files": _files(ground.home),
        "in_use_mb": _in_use() / 1_048_576,
        "blocks": sys.getallocatedblocks(),
    }
    return [round(found[name], 2) for name in SERIES]


class _MallInfo(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _in_use() -> int:
    """Bytes of malloc's memory that are not free; 0 where it is not glibc's."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return 0
    mallinfo2.restype = _MallInfo
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


def _files(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())


class Soak:
    """One process's part.

    Args:
        totals: Goes on with these.
        minutes: Of soak, without pauses.
        load: Share of the time that is spent in steps; the rest is slept.
        state: Where totals are kept; None: nowhere.
        pause_while: A file; while it is there nothing is done.
    """

    def __init__(
        self,
        totals: Totals,
        minutes: float,
        load: float = 1.0,
        state: Path | None = None,
        pause_while: Path | None = None,
    ) -> None:
        self._totals, self._load, self._state = totals, load, state
        self._limit_s, self._pause_while = minutes * 60, pause_while
        self._ended = False

    def end(self, *_: int | FrameType | None) -> None:
        """End after the step that is being done."""
        self._ended = True

    def run(self) -> None:
        """Do steps until the time is over."""
        totals = self._totals
        run = Run(totals.next_step)
        totals.runs.append(run)
        try:
            with folder() as place, made(place, Ledger(totals)) as ground:
                self._go_on(ground, run)
        finally:
            self._save()

    def _go_on(self, ground: Ground, run: Run) -> None:
        totals = self._totals
        sampled = saved = -1e9
        while not self._ended and run.seconds < self._limit_s:
            if self._paused():
                continue
            begun = time.monotonic()
            do(ground, *kind_of(totals.seed, totals.next_step))
            totals.next_step += 1
            took = time.monotonic() - begun
            self._sleep(took * (1 / self._load - 1))
            if run.seconds - sampled >= _SAMPLE_S and not self._quiet:
                run.samples.append([round(run.seconds, 1), *sample(ground)])
                sampled = run.seconds
            whole = time.monotonic() - begun
            run.seconds += whole
            totals.seconds += whole
            totals.busy_s += took
            if run.seconds - saved >= _SAVE_S:
                self._save()
                saved = run.seconds

    @property
    def _quiet(self) -> bool:
        return self._pause_while is not None and self._pause_while.exists()

    def _paused(self) -> bool:
        if not self._quiet:
            return False
        self._save()
        time.sleep(_PAUSE_S)
        return True

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not (self._ended or self._quiet):
            time.sleep(min(left, 0.5))

    def _save(self) -> None:
        if self._state:
            self._totals.save(self._state)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder of its own, in which temporary files and what is trusted lie too."""
    names = [name for name in os.environ if name.startswith("RAR_") or name.endswith("_API_KEY")]
    with tempfile.TemporaryDirectory(prefix="soak-") as path:
        place = Path(path)
        (place / "tmp").mkdir()
        ours = {
            "TMPDIR": str(place / "tmp"),
            "XDG_STATE_HOME": str(place / "state"),
            "HF_HUB_OFFLINE": "1",
        }
        before = {name: os.environ.pop(name, None) for name in {*names, *ours}}
        os.environ.update(ours)
        tempfile.tempdir = None  # asks TMPDIR again
        try:
            yield place
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            tempfile.tempdir = None


def repeat(seed: int, first: int, step: int) -> Totals:
    """Do a step again, after all before it that teach."""
    totals = Totals(seed=seed)
    with folder() as place, made(place, Ledger(totals)) as ground:
        for number in range(first, step + 1):
            kind, random = kind_of(seed, number)
            if number == step or kind in soak_teaching.STEPS:
                totals.next_step = number
                do(ground, kind, random)
    return totals


def _handle(act: Callable[[int, FrameType | None], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, act)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=125, help="of this run, without pauses")
    parser.add_argument("--load", type=float, default=1.0, help="share of it in steps; 0.1 to 1")
    parser.add_argument("--state", type=Path, default=Path("soak.json"))
    parser.add_argument("--seed", type=int, help="of all steps; of a new state only")
    parser.add_argument("--pause-while", type=Path, metavar="FILE", help="while it is there")
    parser.add_argument("--report", action="store_true", help="of the state, and do nothing")
    parser.add_argument("--repeat", type=int, metavar="STEP", help="of a finding")
    parser.add_argument("--first", type=int, default=0, help="of the finding's run")
    given = parser.parse_args()
    totals = Totals.load(given.state)
    if given.seed is not None and (given.repeat is not None or not totals.runs):
        totals.seed = given.seed
    if given.repeat is not None:
        totals = repeat(totals.seed, given.first, given.repeat)
    elif not given.report:
        soak = Soak(
            totals,
            given.minutes,
            min(max(given.load, 0.1), 1.0),
            given.state.absolute(),
            given.pause_while,
        )
        share_arenas()  # as our servers do
        _handle(soak.end)
        soak.run()
    sys.stdout.write(report(totals))
    sys.exit(0 if totals.clean and not growing(totals) else 1)


if __name__ == "__main__":
    main()
