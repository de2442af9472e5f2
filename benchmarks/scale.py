"""Memories of 1,000 to 1,000,000 entries beside raw FAISS, LangChain's FAISS store and NumPy.

    python -m benchmarks.scale --counts 1000 10000 100000 1000000 --out scale.json

Vectors are seeded clusters of low rank with noise, as embeddings are; `--vectors FILE.npy` repeats
real ones with noise instead. Ten entries a category. Opening is timed in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from rar_agent.encoders import FloatArray
from rar_agent.encoders.base import normalize
from rar_agent.memory import Memory, compact_memory, open_memory
from rar_agent.memory.format.manifest import EncoderRecord
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.search import SHORTLIST
from rar_agent.memory.teaching.draft import Draft
from rar_agent.types import Category

EACH = 10
CHUNK = 50_000
RECORD = EncoderRecord(
    name="none",
    details={"made": "by benchmarks.scale"},
    precision="fp32",
    text_scale=100.0,
    names_help=False,
    templates=("{}",),
)
OPEN = """
import json, sys, time
from pathlib import Path
import numpy as np
from rar_agent.memory import open_memory
def resident(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) * 1024 / 1e6
before, own = resident("VmRSS"), resident("RssAnon")
start = time.perf_counter()
memory = open_memory(Path(sys.argv[1]), "m")
opened = time.perf_counter()
rss = resident("VmRSS") - before
query = np.load(sys.argv[2])[:1]
memory.search(query, np.ones(1, np.float32))
first = time.perf_counter()
print(json.dumps([opened - start, first - opened, rss, resident("RssAnon") - own]))
"""


class Clusters:
    """Seeded vectors of any number of categories; any part can be made again."""

    def __init__(self, dimension: int, real: FloatArray | None) -> None:
        random = np.random.default_rng(0)
        self.dimension = real.shape[1] if real is not None else dimension
        self._real = real
        self._axes = random.normal(size=(96, self.dimension)).astype(np.float32)
        self._axes *= np.linspace(1.0, 0.2, 96, dtype=np.float32)[:, None]

    def part(self, first: int, count: int, seed: int = 1) -> FloatArray:
        """(count, d) unit rows; EACH of a category, one after another."""
        categories = np.arange(first, first + count) // EACH
        random = np.random.default_rng([seed, first])
        noise = random.normal(size=(count, self.dimension)).astype(np.float32)
        if self._real is not None:
            rows = self._real[categories % len(self._real)] + 0.5 * noise / np.sqrt(self.dimension)
        else:
            known, which = np.unique(categories, return_inverse=True)
            mixes = np.stack(
                [np.random.default_rng([0, c]).normal(size=96).astype(np.float32) for c in known]
            )
            rows = (mixes @ self._axes)[which] + 3.0 * noise
        return normalize(rows.astype(np.float32))[0]


def build(home: Path, clusters: Clusters, count: int) -> float:
    """Write a memory of `count` entries; seconds."""
    start = time.perf_counter()
    draft = Draft(home / "memories" / "m", RECORD, clusters.dimension)
    for first in range(0, count, CHUNK):
        vectors = clusters.part(first, min(CHUNK, count - first))
        categories = range(first // EACH, -(-(first + len(vectors)) // EACH))
        numbers = [draft.put(Category(name=f"category {c}")) for c in categories]
        entries = [
            NewEntry(numbers[i // EACH], text_content(str(first + i)), f"/photos/{first + i}.jpg")
            for i in range(len(vectors))
        ]
        draft.add_segment("image", entries, vectors)
        if first:
            draft.commit("building", "never")
    draft.commit("ready", "auto")
    return time.perf_counter() - start


def timed(action: Callable[[], object], repeats: int) -> float:
    """Median milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def shortlists(memory: Memory, queries: FloatArray) -> Callable[[], object]:
    """The first step of retrieval, for all queries at once."""
    return lambda: memory.nearest.rows("image", queries, SHORTLIST, in_order=False)


def peers(vectors: FloatArray, queries: FloatArray) -> Iterator[tuple[str, Callable[[], object]]]:
    """The same question asked of others."""
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)

    def raw() -> object:
        faiss.omp_set_num_threads(1 if len(queries) == 1 else 2)
        return flat.search(queries, SHORTLIST)

    yield "faiss", raw
    yield "numpy", lambda: np.argpartition(-(queries @ vectors.T), SHORTLIST - 1)[:, :SHORTLIST]
    try:
        from langchain_community.docstore.in_memory import InMemoryDocstore
        from langchain_community.vectorstores import FAISS
        from langchain_core.documents import Document
        from langchain_core.embeddings import FakeEmbeddings
    except ImportError:
        return
    ids = [str(i) for i in range(len(vectors))]
    documents = InMemoryDocstore({i: Document(page_content=i) for i in ids})
    store = FAISS(FakeEmbeddings(size=1), flat, documents, dict(enumerate(ids)))
    rows = [query.tolist() for query in queries]
    yield "langchain", lambda: [store.similarity_search_by_vector(row, SHORTLIST) for row in rows]


def run(clusters: Clusters, count: int, approximate: bool, alone: bool = False) -> dict[str, Any]:
    """All figures of one size; alone: without the peers, which hold all vectors again, twice."""
    queries = clusters.part(0, min(count, 256) * EACH, seed=2)[::EACH]
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        row: dict[str, Any] = {"entries": count, "build_s": build(home, clusters, count)}
        compact = time.perf_counter()
        memory = compact_memory(home, "m", recall=0.95 if approximate else 1.0).memory
        row["compact_s"] = time.perf_counter() - compact
        np.save(home / "queries.npy", queries)
        files = (home / "memories").rglob("*")
        row["disk_mb"] = sum(f.stat().st_size for f in files if f.is_file()) / 1e6
        code = [sys.executable, "-c", OPEN, str(home), str(home / "queries.npy")]
        opened = [json.loads(subprocess.check_output(code)) for _ in range(3)]
        keys = ("open_s", "first_search_s", "opened_mb", "searched_own_mb")
        row |= dict(zip(keys, np.median(opened, axis=0).tolist(), strict=True))
        row["add_s"] = [_add(home, clusters, count + i * EACH) for i in range(3)]
        memory = open_memory(home, "m")
        vectors = None if alone else clusters_of(memory)
        one, many = queries[:1], queries[:64]
        repeats = max(5, min(200, 3_000_000 // count))
        for name, asked in (("single", one), ("batch", many)):
            ways = {"memory": shortlists(memory, asked)}
            if vectors is not None:
                ways |= dict(peers(vectors, asked))
            times: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(3):  # interleaved
                for way, action in ways.items():
                    if way == "langchain" and name == "batch" and count > 100_000:
                        continue
                    times[way].append(timed(action, repeats if name == "single" else 3))
            row[f"{name}_ms"] = {w: float(np.median(t)) for w, t in times.items() if t}
        norms = np.ones(1, np.float32)
        row["recognise_ms"] = timed(lambda: memory.search(one, norms), repeats)
        index = next((s.index for s in memory.manifest.segments if s.index), None)
        row["index"] = index.model_dump() if index else None
        row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return row


def clusters_of(memory: Memory) -> FloatArray:
    """All vectors of a memory in RAM, for the peers."""
    return np.concatenate([np.asarray(s.vectors) for s in memory.entries.segments])


def _add(home: Path, clusters: Clusters, first: int) -> float:
    """Seconds to teach one category of ten encoded images to a memory that is not open yet."""
    vectors = clusters.part(first, EACH)
    start = time.perf_counter()
    draft = Draft.after(open_memory(home, "m"))
    number = draft.put(Category(name=f"category {first // EACH}"))
    entries = [NewEntry(number, text_content(f"new {first + i}"), "new") for i in range(EACH)]
    draft.add_segment("image", entries, vectors)
    draft.commit("ready", "auto")
    return time.perf_counter() - start


def main() -> None:
    """Print a line a size; write every figure as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", nargs="+", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--vectors", type=Path, help=".npy of real unit rows, repeated with noise")
    parser.add_argument("--exact", action="store_true", help="build no index")
    parser.add_argument("--alone", action="store_true", help="beside no other program")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    real = np.load(args.vectors, allow_pickle=False) if args.vectors else None
    clusters, found = Clusters(args.dimension, real), []
    for count in args.counts:
        found.append(run(clusters, count, not args.exact, args.alone))
        sys.stdout.write(json.dumps(found[-1]) + "\n")
        sys.stdout.flush()
    if args.out:
        args.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
