"""What a process spends; needs only Python's own library, for peers' environments import it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Spending:
    """What this process and its ended children spend from here on."""

    def __init__(self) -> None:
        self._start, self._cpu = time.perf_counter(), _cpu()

    def end(self) -> dict[str, float]:
        """Seconds by the clock and of processors; most memory of the process and of a child, MB."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return {
            "seconds": time.perf_counter() - self._start,
            "cpu": _cpu() - self._cpu,
            "memory": _peak_kb() / 1024,
            "worker_memory": children / 1024,
        }


def _cpu() -> float:
    found = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        found += used.ru_utime + used.ru_stime
    return found


def _peak_kb() -> int:
    try:  # what resource says begins with that of whoever started this process
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def tell(found: Mapping[str, Any]) -> None:
    """Hand a result to whoever asked for it by `ask`."""
    sys.stdout.write(f"\n{json.dumps(found)}\n")
    sys.stdout.flush()


def ask(python: Path | str, module: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Run a module in a process of its own, and take what it tells.

    Args:
        python: The program.
        module: Of this package.
        given: Its argument, as JSON.

    Raises:
        RuntimeError: It failed; with the last that it wrote.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAR_") or k == "RAR_DATA"}
    environment = {**kept, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command: Sequence[str] = [str(python), "-m", module, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{module} of {python}: {done.stderr.strip()[-2_000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
