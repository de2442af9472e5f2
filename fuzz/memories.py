"""Memories from elsewhere: mutated by the thousand, each one opened, asked, listed, exported.

    python -m fuzz.memories --count 100000 --state FILE

Every mutation runs in a worker process with a limit on memory and on time, so that a crash or a
hang is a finding like any other. The state file holds the totals of all runs and the seeds of what
was found; a second run goes on where the first stopped. `--seed` repeats one mutation here.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS = 5.0
"""That a mutated memory may take, all uses together."""
MEMORY = 256 << 20
"""Bytes that it may take beyond what the process has."""
_ROOM = 1 << 30  # bytes of addresses beyond those in use
_ROUND = 500  # mutations between two writes of the state


@dataclass
class Totals:
    """Of all runs.

    Attributes:
        next_seed: Where to go on.
        outcomes: Mutations by outcome.
        kinds: By kind of mutation and outcome.
        findings: What was neither refused nor right: seed, mutation, and what happened.
        seconds: All together.
        slowest: Seconds of the slowest.
        largest: Bytes of the largest.
    """

    next_seed: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    slowest: tuple[float, int] = (0.0, -1)
    largest: tuple[int, int] = (0, -1)

    def add(self, seed: int, told: dict[str, Any]) -> None:
        """Count one."""
        said = told["outcome"]
        self.outcomes[said] = self.outcomes.get(said, 0) + 1
        kind = self.kinds.setdefault(f"{told['kind']}{' (forged)' * told['forged']}", {})
        kind[said] = kind.get(said, 0) + 1
        self.slowest = max(self.slowest, (told.get("seconds", 0.0), seed))
        self.largest = max(self.largest, (told.get("bytes", 0), seed))
        if said == "finding":
            self.findings.append({"seed": seed, **told})


class _TooLong(BaseException):
    """Raised in the worker by the clock."""


@dataclass(frozen=True)
class Made:
    """The memories as they were made.

    Attributes:
        place: A folder with all of them in `whole`; the changed one comes into `home`.
        known: What each of them answers.
    """

    place: Path
    known: dict[str, Any]


@contextmanager
def made() -> Iterator[Made]:
    """Make the memories in a folder of their own, with a state folder for what is trusted."""
    from fuzz.memories_made import EXPORTED, MADE, make
    from fuzz.memories_outcome import answers
    from rar_agent.memory import open_memory
    from rar_agent.memory.exchange.importing import import_memory

    before = os.environ.get("XDG_STATE_HOME")
    with tempfile.TemporaryDirectory(prefix="mutated", dir=_fast()) as folder:
        place = Path(folder)
        os.environ["XDG_STATE_HOME"] = str(place / "state")
        try:
            make(place / "whole")
            known = {name: answers(open_memory(place / "whole", name)) for name in MADE}
            imported = import_memory(place / "made", "imported", place / "whole" / EXPORTED)
            yield Made(place, known | {EXPORTED: answers(imported)})
        finally:
            del os.environ["XDG_STATE_HOME"]
            if before is not None:
                os.environ["XDG_STATE_HOME"] = before


def run(those: Made, seeds: Iterable[int], totals: Totals) -> None:
    """Run mutations in worker processes, one after another."""
    waiting = list(seeds)
    context = get_context("fork")
    while waiting:
        here, there = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(those, waiting, there))
        worker.start()
        there.close()
        done = _listen(here, waiting, totals)
        if done < len(waiting):  # it crashed, or hung where no clock reaches
            worker.kill()
            worker.join()
            totals.add(waiting[done], _told(those, waiting[done], f"exit {worker.exitcode}"))
            done += 1
        worker.join()
        waiting = waiting[done:]


def _fast() -> str | None:
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() else None


def _listen(pipe: Connection, seeds: list[int], totals: Totals) -> int:
    done = 0
    while done < len(seeds):
        try:
            if not pipe.poll(2 * SECONDS):
                break
            totals.add(seeds[done], pipe.recv())
        except EOFError:
            break
        done += 1
    return done


def _work(those: Made, seeds: list[int], pipe: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_addresses() + _ROOM,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _ring)
    sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123
    os.dup2(sys.stdin.fileno(), 0)
    for seed in seeds:
        pipe.send(one(those, seed))


def _ring(_signal: int, _frame: FrameType | None) -> None:
    raise _TooLong


def one(those: Made, seed: int) -> dict[str, Any]:
    """Run one mutation here and tell how it went."""
    from fuzz.memories_mutations import mutate
    from fuzz.memories_outcome import FindingError, outcome

    home = those.place / "home"
    mutation = mutate(those.place / "whole", home, seed)
    begun, before = time.perf_counter(), _peak(reset=True)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            said, why = outcome(home, mutation, those.known), ""
    except FindingError as error:
        said, why = "finding", str(error)
    except _TooLong:
        said, why = "finding", f"longer than {SECONDS} s"
    except Exception as error:
        place_of = traceback.extract_tb(error.__traceback__)[-3:]
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(place_of))
        said, why = "finding", f"{type(error).__name__}: {str(error)[:300]} at {where}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    took, more = time.perf_counter() - begun, _peak() - before
    if more > MEMORY:
        said, why = "finding", f"{more >> 20} MiB"
    return {
        **asdict(mutation),
        "outcome": said,
        "why": why,
        "seconds": round(took, 4),
        "bytes": more,
    }


def _told(those: Made, seed: int, why: str) -> dict[str, Any]:
    from fuzz.memories_mutations import mutate

    return {
        **asdict(mutate(those.place / "whole", those.place / "home", seed)),
        "outcome": "finding",
        "why": why,
    }


def _peak(reset: bool = False) -> int:
    """Most bytes of memory that this process has had, since the last reset."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def _addresses() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 8 << 30


def load(path: Path) -> Totals:
    """The totals of a state file; none where there is none."""
    return Totals(**json.loads(path.read_text())) if path.exists() else Totals()


def save(path: Path, totals: Totals) -> None:
    """Write the totals, all or nothing."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(asdict(totals), indent=1))
    draft.replace(path)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000, help="mutations in all runs together")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--state", type=Path, default=Path("mutations.json"))
    parser.add_argument("--seed", type=int, help="repeat this one")
    args = parser.parse_args()
    with made() as those:
        if args.seed is not None:
            totals = Totals()
            run(those, [args.seed], totals)
            print(json.dumps(asdict(totals), indent=1))  # noqa: T201
            return
        totals, last = load(args.state), args.first + args.count
        totals.next_seed = max(totals.next_seed, args.first)
        while totals.next_seed < last:
            end, begun = min(totals.next_seed + _ROUND, last), time.perf_counter()
            run(those, range(totals.next_seed, end), totals)
            totals.next_seed, totals.seconds = end, totals.seconds + time.perf_counter() - begun
            save(args.state, totals)
            rate = sum(totals.outcomes.values()) / totals.seconds
            print(end, totals.outcomes, f"{rate:.0f}/s", flush=True)  # noqa: T201
    sys.exit(1 if totals.findings else 0)


if __name__ == "__main__":
    main()
