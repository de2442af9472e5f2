"""The parts of the suite, each measured in a process of its own, and what is kept of them.

python -m benchmarks.suite '{"part": "search", "quick": true}'
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Setup, as_json, from_json
from benchmarks.process import ROOT

FORMAT = 1
_VERSIONS = (
    *("rar-agent", "torch", "open_clip_torch", "timm", "transformers", "sentence-transformers"),
    *("faiss-cpu", "numpy", "pillow", "langgraph", "langchain-core"),
)
_PEER_VERSIONS = (
    "import sys; from importlib import metadata; "
    "print(*(f'{n} {metadata.version(n)}' for n in sys.argv[1:]), sep=', ')"
)


def _encode(setup: Setup, encoder: str) -> list[Figure]:
    from benchmarks import encode

    return encode.figures(setup, encoder)


def _recognise(setup: Setup, encoder: str) -> list[Figure]:
    from benchmarks import recognise

    return recognise.figures(setup, encoder)


def _texts(setup: Setup) -> list[Figure]:
    from benchmarks import texts

    templates, sample, batches = (8, 2, (1,)) if setup.quick else (80, 10, texts.BATCHES)
    return texts.measure(repeats=setup.repeats, templates=templates, sample=sample, batches=batches)


def _search(setup: Setup) -> list[Figure]:
    from benchmarks import search

    return search.figures(setup)


def _serving(setup: Setup) -> list[Figure]:
    from benchmarks import serving

    callers, images = ((1, 8), 8) if setup.quick else ((1, 8, 64), 64)
    return serving.figures(callers, images, setup.repeats)


def _start(setup: Setup) -> list[Figure]:
    from benchmarks import start

    return start.measure(setup.repeats)


def _eval(setup: Setup) -> list[Figure]:
    from benchmarks import harness

    return harness.figures(30 if setup.quick else 300, setup.repeats)


def _ranking(setup: Setup) -> list[Figure]:
    from benchmarks import throughput

    return throughput.figures(40 if setup.quick else 400, runs=setup.repeats)


PARTS: Mapping[str, Callable[[Setup], list[Figure]]] = {
    "encode-builtin": lambda setup: _encode(setup, "builtin"),
    "encode-ViT-B-32": lambda setup: _encode(setup, "ViT-B-32"),
    "texts": _texts,
    "search": _search,
    "recognise-builtin": lambda setup: _recognise(setup, "builtin"),
    "recognise-ViT-B-32": lambda setup: _recognise(setup, "ViT-B-32"),
    "serving": _serving,
    "start": _start,
    "eval": _eval,
    "ranking": _ranking,
}
"""What there is to measure; a part imports what it measures when it is run."""


def chosen(only: str) -> list[str]:
    """Parts whose names begin with one of those given, with commas between; all by default.

    Raises:
        ValueError: There is none.
    """
    wanted = [one.strip() for one in only.split(",") if one.strip()]
    for one in wanted:
        if not any(part.startswith(one) for part in PARTS):
            raise ValueError(f"There is no part '{one}'. There are: {', '.join(PARTS)}.")
    return [part for part in PARTS if not wanted or part.startswith(tuple(wanted))]


def run_part(part: str, setup: Setup) -> list[Figure]:
    """Measure a part in a process of its own, so that none meets another's threads or memory.

    Raises:
        RuntimeError: It failed; with the last that it wrote.
    """
    given = {"part": part, **options(setup), "peers": {k: str(v) for k, v in setup.peers.items()}}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAR_") or k == "RAR_DATA"}
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile("w+") as errors:
        environment = {**kept, "HF_HUB_OFFLINE": "1", "RAR_HOME": home}
        command = [sys.executable, "-m", "benchmarks.suite", json.dumps(given)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, cwd=ROOT
        ) as process:
            try:
                found = _heard(process, setup.tell)
            finally:
                process.terminate()
        if found is None:
            errors.seek(0)
            raise RuntimeError(errors.read().strip()[-2_000:] or f"ended with {process.returncode}")
        return from_json(found)


def _heard(
    process: subprocess.Popen[str], tell: Callable[[str], None]
) -> Sequence[Mapping[str, Any]] | None:
    assert process.stdout
    found = None
    for line in process.stdout:
        if line.startswith("[{"):
            found = json.loads(line)
        elif line.strip():
            tell(line.strip())
    process.wait()
    return found


def options(setup: Setup) -> dict[str, Any]:
    """What has to be the same for figures to be of one run."""
    return {"repeats": setup.repeats, "quick": setup.quick, "seed": setup.seed}


def begun(setup: Setup) -> dict[str, Any]:
    """What a run's file says before anything is measured."""
    return {
        "format": FORMAT,
        "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "versions": versions(setup),
        "setup": options(setup),
        "parts": {},
    }


def machine() -> dict[str, Any]:
    """What figures are of; two runs compare where this is the same."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", ""),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def versions(setup: Setup) -> dict[str, str]:
    """Of what is measured, and of what is in the peers' environments."""
    found = dict(_known(_VERSIONS))
    for peer, python in setup.peers.items():
        names = [peer, "torch"] if peer == "clip-retrieval" else [peer, "faiss-cpu"]
        command = [str(python), "-c", _PEER_VERSIONS, *names]
        done = subprocess.run(command, capture_output=True, text=True)
        found[f"environment of {peer}"] = done.stdout.strip() or done.stderr.strip()[-200:]
    return found


def _known(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def main() -> None:
    """Measure what the argument says; tell how far it is, and the figures in the last line."""
    given = json.loads(sys.argv[1])

    def tell(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    peers = {name: Path(python) for name, python in given.pop("peers", {}).items()}
    part = PARTS[given.pop("part")]
    found = part(Setup(**given, peers=peers, tell=tell))
    sys.stdout.write(f"{json.dumps(as_json(found))}\n")


if __name__ == "__main__":
    main()
