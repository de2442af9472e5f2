"""How long a start takes: import, help, first answer; each beside the floor it stands on.

    python -m benchmarks.start [--runs 9] [--json]

Whole processes, one of each after another in turns, so that the machine's other work meets all
alike: medians, with the least and the most. The first answers are those of the builtin encoder and
the ready memory, which a first, unmeasured round makes; it also warms the disk. A figure's ratio to
its floor says more than its seconds where the machine is busy.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import OURS, Figure, as_json, ratio, write

_BARE_APP = """
import typer
app = typer.Typer(add_completion=False)
@app.command()
def one() -> None: "One command."
@app.command()
def other() -> None: "Another."
app(["--help"])
"""

_COMMAND = str(Path(sys.executable).parent / "rar-agent")
_RUNS: Mapping[str, Sequence[str]] = {
    "python": [sys.executable, "-c", "pass"],
    "import rar_agent": [sys.executable, "-c", "import rar_agent"],
    "bare app --help": [sys.executable, "-c", _BARE_APP],
    "rar-agent --help": [_COMMAND, "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
    "import torch, langgraph.graph": [sys.executable, "-c", "import torch, langgraph.graph"],
    "first answer": [_COMMAND, "recognize", "--example"],
    "first answer --json": [_COMMAND, "recognize", "--example", "--json"],
}
FLOORS: Mapping[str, str] = {
    "import rar_agent": "python",
    "rar-agent --help": "bare app --help",
    "first answer": "import torch, langgraph.graph",
    "first answer --json": "import torch, langgraph.graph",
}
"""What each figure cannot be below."""


@dataclass(frozen=True)
class Times:
    """Of one kind of process.

    Attributes:
        wall: Seconds from start to end.
        cpu: Seconds of processors, its own and the system's for it; steadier on a busy machine.
    """

    wall: list[float]
    cpu: list[float]


def timed(runs: int, kinds: Mapping[str, Sequence[str]] = _RUNS) -> dict[str, Times]:
    """Run each kind of process so often, in turns, after one round that is not counted.

    Args:
        runs: At least 1.
        kinds: Command of each kind.

    Raises:
        subprocess.CalledProcessError: One failed.
    """
    found = {name: Times([], []) for name in kinds}
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "RAR_HOME": home}
        for turn in range(runs + 1):
            for name, command in kinds.items():
                before, start = _cpu(), time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, env=environment)
                wall = time.perf_counter() - start
                if turn:
                    found[name].wall.append(wall)
                    found[name].cpu.append(_cpu() - before)
    return found


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def told(times: Mapping[str, Times]) -> list[Figure]:
    """Seconds, those of processors, and ratios to the floors, turn by turn."""
    found: list[Figure] = []
    for name, one in times.items():
        who = OURS if name in FLOORS else "floor"
        wall = Figure(name, "s", tuple(one.wall), who)
        found += [wall, Figure(f"{name}: processors", "s", tuple(one.cpu), who)]
        if floor := FLOORS.get(name):
            under = Figure(floor, "s", tuple(times[floor].wall), "floor")
            found.append(ratio(f"{name} / {floor}", wall, under, "less"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    found.append(Figure("first answer: most memory", "MB", (peak / 1024,)))  # by far the largest
    return found


def measure(runs: int = 9) -> list[Figure]:
    """The figures of this machine."""
    return told(timed(runs))


def main() -> None:
    """Print a table, or with --json a line for each row."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=9, help="of each process")
    parser.add_argument("--json", action="store_true", help="one JSON line a figure")
    args = parser.parse_args()
    found = measure(args.runs)
    if args.json:
        for row in as_json(found):
            sys.stdout.write(f"{json.dumps(row)}\n")
    else:
        write(found)


if __name__ == "__main__":
    main()
