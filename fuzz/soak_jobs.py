"""Processes that a soak starts and kills: `python -m fuzz.soak_jobs KIND HOME ...`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_COMMAND = "from rar_agent.cli import main; main()"


@contextmanager
def begin(kind: str, home: Path, *given: object, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Begin one; whatever happens, it has ended afterwards.

    Args:
        kind: One of `JOBS`, or `rar-agent` for the command line.
        home: Its RAR_HOME.
        *given: Its arguments.
        **more: Of its environment.
    """
    program = [sys.executable, "-m", "fuzz.soak_jobs", kind, str(home)]
    if kind == "rar-agent":
        program = [sys.executable, "-c", _COMMAND]
    usual = {"RAR_HOME": str(home), "RAR_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*program, *map(str, given)],
        cwd=_ROOT,
        env={**os.environ, **usual, **more},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def hold(_: Path, given: Sequence[str]) -> None:
    """Hold a memory's writer lock for ever."""
    from rar_agent.memory.format.lock import writer_lock

    with writer_lock(Path(given[0])):
        print("held", flush=True)  # noqa: T201
        sys.stdin.read()


def teach(home: Path, given: Sequence[str]) -> None:
    """Teach drawings one after another, and say each."""
    from fuzz.soak_ground import learnt
    from rar_agent.encoders import load_encoder
    from rar_agent.memory import add_to_memory
    from rar_agent.settings import load_settings

    encoder = load_encoder("builtin", load_settings(home=home, device="cpu"))
    for one in given[1:]:
        name, colour, seed = one.split("/")
        add_to_memory(home, given[0], encoder, {name: [learnt((colour, int(seed)))]})
        print(one, flush=True)  # noqa: T201


def batch(home: Path, given: Sequence[str]) -> None:
    """Recognise the images of a folder by a journal, together with whoever does the same."""
    from fuzz.soak_ground import MOST, Said
    from rar_agent import Recognition, Recognizer
    from rar_agent.batch import Entry, Journal, run

    memory, folder, journal = given[0], Path(given[1]), Path(given[2])
    recognizer = Recognizer(memory, home=home, device="cpu", k=MOST, batch_size=2)

    def work(keys: Sequence[str]) -> Iterator[Entry]:
        results = recognizer.stream([folder / key for key in keys])
        for key, result in zip(keys, results, strict=True):
            if isinstance(result, Recognition):
                yield Entry(key, {"said": Said.of(result).probabilities})
            else:
                yield Entry(key, {"error": result.error}, failed=True)

    with Journal(journal, "soak") as kept:
        run(kept, sorted(path.name for path in folder.iterdir()), work)


JOBS = {"hold": hold, "teach": teach, "batch": batch}

if __name__ == "__main__":
    JOBS[sys.argv[1]](Path(sys.argv[2]), sys.argv[3:])
