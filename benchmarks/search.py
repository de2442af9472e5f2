"""The nearest entries of a memory, exactly, beside raw FAISS, NumPy and LangChain's FAISS store.

    python -m benchmarks.search [--counts 1000 10000 100000] [--repeats 3]
        [--peers langchain-community=PYTHON]

All get the same 512-dimensional rows and are asked for as many as a shortlist has, for one query
and for 64 at once, in turns. `scale` has a million entries, indexes, and what opening takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import OURS, Figure, Setup, ratio, write
from benchmarks.process import ROOT
from benchmarks.scale import EACH, Clusters, build, clusters_of, peers, shortlists, timed
from rar_agent.encoders import FloatArray
from rar_agent.memory import compact_memory, open_memory
from rar_agent.memory.search import SHORTLIST

PEER = "langchain-community"
COUNTS = (1_000, 10_000, 100_000)
_DIMENSION, _BATCH = 512, 64
Ask = Callable[[int, int], dict[str, Any]]


def figures(setup: Setup, counts: Sequence[int] = COUNTS) -> list[Figure]:
    """Measure.

    Args:
        setup: See `Setup`; quick takes the least count alone.
        counts: Entries.
    """
    clusters = Clusters(_DIMENSION, None)
    found: list[Figure] = []
    for count in counts[:1] if setup.quick else counts:
        with tempfile.TemporaryDirectory() as held:
            found += _one(setup, clusters, count, Path(held))
    return found


def _one(setup: Setup, clusters: Clusters, count: int, home: Path) -> list[Figure]:
    setup.tell(f"{count:,} entries: build")
    build(home, clusters, count)
    compact_memory(home, "m", recall=1.0)
    memory = open_memory(home, "m")
    vectors = clusters_of(memory)
    queries = clusters.part(0, _BATCH * EACH, seed=2)[::EACH]
    asked = {"one query": queries[:1], f"{len(queries)} queries": queries}
    ways = {
        kind: {OURS: shortlists(memory, some), **dict(peers(vectors, some))}
        for kind, some in asked.items()
    }
    norms = np.ones(1, np.float32)
    times: dict[tuple[str, str], list[float]] = {
        (kind, who): [] for kind in ways for who in (*ways[kind], PEER)
    }
    scored: list[float] = []
    often = (max(5, min(200, 3_000_000 // count)), 3)
    with _langchain(setup, home, vectors, queries) as ask:
        for repeat in range(setup.repeats):
            setup.tell(f"{count:,} entries, repeat {repeat + 1} of {setup.repeats}")
            for (kind, actions), repeats in zip(ways.items(), often, strict=True):
                for who, action in actions.items():
                    times[kind, who].append(timed(action, repeats))
            if ask:
                for kind, ms in zip(ways, ask(*often).values(), strict=True):
                    times[kind, PEER].append(ms)
            scored.append(timed(lambda: memory.search(queries[:1], norms), often[0]))
    found: list[Figure] = []
    note = "" if ask else f"no environment: --peers {PEER}=PYTHON"
    for kind in ways:
        name = f"{count:,} entries: {kind}"
        rows = {
            who: Figure(name, "ms", tuple(values), who, note=note if who == PEER else "")
            for (of, who), values in times.items()
            if of == kind
        }
        found += rows.values()
        found.append(ratio(f"{name}: of raw FAISS", rows[OURS], rows["faiss"], "less"))
    return [*found, Figure(f"{count:,} entries: one query, categories scored", "ms", tuple(scored))]


@contextmanager
def _langchain(
    setup: Setup, home: Path, vectors: FloatArray, queries: FloatArray
) -> Iterator[Ask | None]:
    """Asks the store in its environment; None: there is no such environment."""
    python = setup.peers.get(PEER)
    if python is None:
        yield None
        return
    files = {"vectors": home / "rows.npy", "queries": home / "queries.npy"}
    for file, rows in zip(files.values(), (vectors, queries), strict=True):
        np.save(file, rows)
    given = {"count": SHORTLIST, **{name: str(file) for name, file in files.items()}}
    command = [str(python), "-m", "benchmarks.search_peer", json.dumps(given)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin
        assert process.stdout
        told, heard = process.stdin, process.stdout

        def heard_next() -> dict[str, Any]:
            while line := heard.readline():
                if line.strip():
                    answer: dict[str, Any] = json.loads(line)
                    return answer
            raise RuntimeError(f"{' '.join(command[:3])} ended.")

        nearest = set(heard_next()["nearest"])
        best = set(np.argpartition(-(queries[:1] @ vectors.T)[0], SHORTLIST - 1)[:SHORTLIST])
        assert len(nearest & best) > 0.99 * SHORTLIST, "the store finds other entries"

        def ask(single: int, batch: int) -> dict[str, Any]:
            told.write(f"{json.dumps([single, batch])}\n")
            told.flush()
            return heard_next()

        try:
            yield ask
        finally:
            told.close()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", nargs="+", type=int, default=list(COUNTS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", action="append", default=[], metavar="NAME=PYTHON")
    args = parser.parse_args()
    known = {name: Path(python) for name, _, python in (p.partition("=") for p in args.peers)}
    write(figures(Setup(repeats=args.repeats, peers=known), args.counts))


if __name__ == "__main__":
    main()
