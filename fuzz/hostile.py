"""What hostile images cost who decodes them: `python -m fuzz.hostile`; of all files in tests.

Each is decoded once in a fork of this process, and once by a worker.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass

from rar_agent.errors import ImageError
from rar_agent.images.decode import decode
from rar_agent.images.isolated import decode_under
from rar_agent.images.policy import Isolation, Limits, Policy
from tests.images.hostile import Hostile, catalogue

_UNIT = 1 if sys.platform == "darwin" else 1_024  # of ru_maxrss
_ISOLATED = Policy(isolation=Isolation())


@dataclass(frozen=True)
class Cost:
    """Of one file.

    Attributes:
        name: What is wrong with it.
        size: Bytes.
        outcome: `image` or `error`; else how the process ended.
        seconds: To decode it.
        megabytes: That its decoding added to the process, at most.
        apart: Seconds in a worker.
    """

    name: str
    size: int
    outcome: str
    seconds: float
    megabytes: float
    apart: float


def measure(file: Hostile) -> Cost:
    """Decode one file in both ways."""
    data = file.make()
    outcome, seconds, megabytes = _in_a_fork(data)
    begun = time.perf_counter()
    with suppress(ImageError):
        decode_under(data, "x", _ISOLATED)
    apart = time.perf_counter() - begun
    return Cost(file.name, len(data), outcome, seconds, megabytes, apart)


def _in_a_fork(data: bytes) -> tuple[str, float, float]:
    read, write = os.pipe()
    number = os.fork()
    if number == 0:
        before, begun = _peak(), time.perf_counter()
        try:
            decode(data, "x", Limits())
            outcome = "image"
        except ImageError:
            outcome = "error"
        told = [outcome, time.perf_counter() - begun, _peak() - before]
        os.write(write, json.dumps(told).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        text = answer.read()
    _, status = os.waitpid(number, 0)
    if not text:
        return f"status {status}", 0.0, 0.0
    outcome, seconds, megabytes = json.loads(text)
    return outcome, seconds, megabytes


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / 1e6


def main() -> None:
    """Print the worst, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worst", type=int, default=12, help="files that are listed")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    costs = [measure(file) for file in catalogue()]
    outcomes = sorted(cost.outcome for cost in costs)
    counts = ", ".join(f"{outcomes.count(one)} {one}" for one in sorted(set(outcomes)))
    lines = [f"{len(costs)} files: {counts}.", ""]
    lines += ["| file | bytes | outcome | s | MB added | s in a worker |"]
    lines += ["|---|---:|---|---:|---:|---:|"]
    by_time = sorted(costs, key=lambda cost: -cost.seconds)[: given.worst]
    by_memory = sorted(costs, key=lambda cost: -cost.megabytes)[: given.worst]
    for cost in dict.fromkeys([*by_time, *by_memory]):
        lines.append(
            f"| {cost.name} | {cost.size:,} | {cost.outcome} | {cost.seconds:.2f} | "
            f"{cost.megabytes:,.0f} | {cost.apart:.2f} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
