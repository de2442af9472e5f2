"""What `plan_index` says of an index beside what it turns out to be.

    python -m benchmarks.plan --count 3000000 --kinds hnsw

Vectors are those of `benchmarks.scale`. Text queries are image vectors moved by one direction that
all share, as CLIP's texts lie apart from its images.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.scale import CHUNK, Clusters, timed
from rar_agent.encoders import FloatArray
from rar_agent.encoders.base import normalize
from rar_agent.memory.index.build import build_index
from rar_agent.memory.index.costs import build_seconds, bytes_held, disk_bytes, query_ms
from rar_agent.memory.index.parameters import spec_for
from rar_agent.memory.index.read import open_index
from rar_agent.memory.index.recall import measure_recall
from rar_agent.memory.index.spec import KINDS, Kind
from rar_agent.types import Modality

RECALL = 0.95
_QUERIES = 300
_GAP = 0.7  # cosine of an image's vector with its text's: 0.82


def write_vectors(path: Path, clusters: Clusters, count: int) -> FloatArray:
    """A mapped file of `count` vectors."""
    with path.open("wb") as file:
        for first in range(0, count, CHUNK):
            file.write(clusters.part(first, min(CHUNK, count - first)).tobytes())
    mapped: FloatArray = np.memmap(path, np.float32, "r", shape=(count, clusters.dimension))
    return mapped


def resident_mb() -> float:
    """Memory of this process that is no mapped file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def check(place: Path, vectors: FloatArray, kind: Kind, queries: dict[Modality, FloatArray]) -> str:
    """Rows of a table: planned and measured."""
    count, dimension = vectors.shape
    spec = spec_for(kind, count, dimension, RECALL, "image")
    start, before = time.perf_counter(), resident_mb()
    build_index(vectors, spec, place)
    built, grown = time.perf_counter() - start, resident_mb() - before
    lines = [
        f"| {kind} | build, s | {build_seconds(spec):.0f} | {built:.0f} |",
        f"| {kind} | file, MB | {disk_bytes(spec) / 1e6:.0f} | {place.stat().st_size / 1e6:.0f} |",
        f"| {kind} | held after building, MB | | {grown:.0f} |",
        f"| {kind} | held for searches, MB | {bytes_held(spec) / 1e6:.0f} | |",
    ]
    for modality, asked in queries.items():
        spec = spec_for(kind, count, dimension, RECALL, modality)
        index = open_index(place, spec, vectors)
        found = measure_recall(index, vectors, asked)
        for query in asked[:50]:  # pages in
            index.nearest(query[None], 10)
        one = float(np.median([timed(partial(index.nearest, q[None], 10), 1) for q in asked]))
        lines += [
            f"| {kind} | recall@10, {modality} queries, effort {spec.effort} | {RECALL} | "
            f"{found:.3f} |",
            f"| {kind} | one {modality} query, ms | {query_ms(spec):.2f} | {one:.2f} |",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--kinds", nargs="+", default=["hnsw"], choices=KINDS[1:])
    args = parser.parse_args()
    clusters = Clusters(args.dimension, None)
    images = clusters.part(0, _QUERIES * 10, seed=2)[::10]
    gap = np.random.default_rng(9).normal(size=args.dimension)
    texts = normalize((images + _GAP * gap / np.linalg.norm(gap)).astype(np.float32))[0]
    queries: dict[Modality, FloatArray] = {"image": images, "text": texts}
    with tempfile.TemporaryDirectory() as folder:
        vectors = write_vectors(Path(folder) / "vectors", clusters, args.count)
        sys.stdout.write(
            f"{args.count:,} vectors\n| index | | planned | measured |\n|---|---|---|---|\n"
        )
        for kind in args.kinds:
            sys.stdout.write(check(Path(folder) / kind, vectors, kind, queries))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
