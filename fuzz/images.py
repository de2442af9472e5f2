"""Coverage-guided fuzzing of the decode path, with atheris: `python -m fuzz.images FOLDER`.

It goes on where it was stopped: FOLDER keeps the inputs that reached new code, how much was tried,
and what was found. Rounds are processes of their own, so that a crash is one finding and the next
round goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

LONGEST = 32_768
"""Bytes of an input."""
SECONDS = 15
"""Of one input; longer is a finding."""
MEGABYTES = 2_048
"""Of a round; more is a finding."""

_EXECUTED = re.compile(rb"stat::number_of_executed_units:\s*(\d+)")
_REACHED = re.compile(rb"cov: (\d+)")


@dataclass
class State:
    """What was done until now, of all runs together.

    Attributes:
        executions: Inputs tried.
        seconds: Of fuzzing.
        rounds: Processes.
        reached: Edges of code that inputs reached in the last round.
        findings: Files with inputs that crashed, hung, took too much memory or gave neither an
            image nor an `ImageError`, and did so again when they were tried alone.
    """

    executions: int = 0
    seconds: float = 0.0
    rounds: int = 0
    reached: int = 0
    findings: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> State:
        """The state that a file has; a new one where there is none."""
        return cls(**json.loads(file.read_text())) if file.exists() else cls()

    def write(self, file: Path) -> None:
        """Write it whole or not at all."""
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self), indent=1) + "\n")
        draft.replace(file)


def seed(corpus: Path) -> None:
    """Write the hostile files that are short enough as first inputs."""
    from tests.images.hostile import catalogue

    corpus.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(catalogue()):
        data = one.make()
        if 0 < len(data) <= LONGEST:
            (corpus / f"seed-{number:03}").write_bytes(data)


def run_round(folder: Path, state: State, seconds: int) -> None:
    """Fuzz in a process of its own, and add what it did to the state."""
    found = folder / "findings"
    found.mkdir(exist_ok=True)
    before, begun = set(found.iterdir()), time.monotonic()
    log = folder / "last-round.log"
    options = [f"-max_total_time={seconds}", f"-artifact_prefix={found}/", "-print_final_stats=1"]
    failed = _within(folder / "corpus", options, log)
    told = log.read_bytes()
    state.executions += sum(int(number) for number in _EXECUTED.findall(told))
    state.seconds += time.monotonic() - begun
    state.rounds += 1
    state.reached = int((_REACHED.findall(told) or [b"0"])[-1])
    inputs = sorted(set(found.iterdir()) - before)
    new = []
    for file in inputs:
        if _within(file, [], folder / "again.log"):
            new.append(file.name)
        else:  # this machine was busy, say
            file.unlink()
    if failed and not inputs:  # it ended before it could write its input
        kept = found / f"round-{state.rounds}.log"
        kept.write_bytes(told[-20_000:])
        new = [kept.name]
    state.findings += new
    state.write(folder / "state.json")


def _within(inputs: Path, options: list[str], log: Path) -> bool:
    """Fuzz from a folder of inputs, or try one file, in a process; whether that failed."""
    usual = [f"-max_len={LONGEST}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}"]
    command = [sys.executable, "-m", "fuzz.images", "--within", str(inputs), *usual, *options]
    with log.open("wb") as out:
        ended = subprocess.run(command, stdout=out, stderr=out, check=False)
    return ended.returncode != 0


def fuzz_within(arguments: list[str]) -> None:
    """What a round does; never returns."""
    import atheris  # pip install atheris

    with atheris.instrument_imports(include=["PIL", "rar_agent.images"]):
        from PIL import (  # noqa: F401 - what is imported here is instrumented
            BmpImagePlugin,
            GifImagePlugin,
            JpegImagePlugin,
            MpoImagePlugin,
            PngImagePlugin,
            TiffImagePlugin,
            WebPImagePlugin,
        )

        from rar_agent.errors import ImageError
        from rar_agent.images.decode import decode
        from rar_agent.images.policy import Limits

    limits = Limits(max_bytes=LONGEST, max_pixels=1_000_000, max_frames=50)
    warnings.simplefilter("ignore")

    def one(data: bytes) -> None:
        try:
            image = decode(data, "fuzz", limits, detail=len(data) % 2 * 8)
        except ImageError:
            return
        if image.mode != "RGB" or not 0 < image.width * image.height <= limits.max_pixels:
            raise AssertionError(f"{image.mode} {image.size}")

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def main() -> None:
    """Fuzz for a time, in rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where inputs, state and findings are kept")
    parser.add_argument("--minutes", type=float, default=60, help="of this run")
    parser.add_argument("--round", type=int, default=300, help="seconds of a round")
    given = parser.parse_args()
    folder: Path = given.folder.resolve()
    if not (folder / "corpus").exists():
        seed(folder / "corpus")
    state = State.read(folder / "state.json")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    end = time.monotonic() + given.minutes * 60
    while (left := end - time.monotonic()) > 1:
        before = state.executions
        run_round(folder, state, max(1, min(given.round, int(left))))
        if state.executions == before:
            sys.exit(f"Nothing was tried; {folder / 'last-round.log'} says why.")
        sys.stdout.write(
            f"{state.executions:,} inputs in {state.seconds / 3600:.2f} hours, "
            f"{state.reached:,} edges, {len(state.findings)} findings\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--within"]:
        fuzz_within(sys.argv[2:])
    main()
