"""A memory on disk beside the same one in Milvus: building, searching, recall, memory used.

    python -m benchmarks.milvus --counts 10000 100000 --dimension 768 --out milvus.json

Starts a milvus-lite of its own on loopback, or asks `--server milvus://host:19530`, there with one
index after another. Vectors are those of `benchmarks.scale`. Readers are processes of their own.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale import Clusters, build
from rar_agent.encoders import FloatArray
from rar_agent.memory import compact_memory, delete_memory, open_memory
from rar_agent.scale.milvus.address import parse_address
from rar_agent.scale.milvus.migrate import migrate
from rar_agent.scale.milvus.server import Server

K = 10
QUERIES = 200


def main() -> None:
    """Measure every count, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--index", nargs="+", default=[""], help="of Milvus; default: by size")
    parser.add_argument("--server", help="milvus://host:port; default: a milvus-lite of its own")
    parser.add_argument("--pid", default="", help="of that server here, to see its memory")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ask", nargs=3, metavar=("HOME", "NAME", "QUERIES"), help="a reader")
    args = parser.parse_args()
    if args.ask:
        print(json.dumps(ask(Path(args.ask[0]), args.ask[1], np.load(args.ask[2]))))  # noqa: T201
        return
    found = []
    for count in args.counts:
        with tempfile.TemporaryDirectory() as place:
            server = (args.server, args.pid) if args.server else None
            for row in measure(Path(place), count, args.dimension, server, args.index):
                found.append(row)
                told = ", ".join(f"{name} {value}" for name, value in row.items())
                print(told, flush=True)  # noqa: T201
    if args.out:
        args.out.write_text(json.dumps(found, indent=1))


def measure(
    place: Path, count: int, dimension: int, server: tuple[str, str] | None, indexes: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """On disk, then in Milvus by each index, at one size."""
    clusters = Clusters(dimension, None)
    queries = clusters.part(0, count, seed=2)[:: max(1, count // QUERIES)][:QUERIES]
    np.save(place / "queries.npy", queries)
    built = build(place, clusters, count)
    start = time.perf_counter()
    compact_memory(place, "m")
    built += time.perf_counter() - start
    truth = _nearest(clusters, count, queries)
    yield _row("disk", count, built, truth, _asked(place, "m"))
    with _server(place, server) as (address, pid):
        for number, index in enumerate(indexes):
            there = f"{address}/benchmark{number}"
            start = time.perf_counter()
            migrate(place, "m", there, index=index)
            migrated = time.perf_counter() - start
            # A server builds indexes after it was told all, milvus-lite at once.
            kind = _indexed(there) if server else index
            built = time.perf_counter() - start
            row = _row(f"milvus {kind}".strip(), count, built, truth, _asked(place, there))
            row["migrate_s"] = round(migrated, 1)
            if pid:
                row["server_mb"] = round(resident(pid))
            yield row
            delete_memory(place, there)


def _indexed(address: str) -> str:
    """The index that the vectors have, once it is built."""
    server = Server(parse_address(address))
    collection = f"{address.rpartition('/')[2]}_entries"
    while True:
        found = server.ask("describe_index", collection_name=collection, index_name="vector")
        if (
            found
            and 0 < int(found["total_rows"]) == int(found["indexed_rows"])
            and not int(found["pending_index_rows"])
        ):
            return str(found["index_type"])
        time.sleep(0.5)


def _row(
    who: str, count: int, built: float, truth: list[list[int]], asked: dict[str, Any]
) -> dict[str, Any]:
    hits = [len(set(a) & set(b)) for a, b in zip(truth, asked.pop("found"), strict=True)]
    recall = round(sum(hits) / (K * len(hits)), 4)
    return {"who": who, "entries": count, "build_s": round(built, 1), "recall@10": recall, **asked}


def _nearest(clusters: Clusters, count: int, queries: FloatArray) -> list[list[int]]:
    """Ids of the exact nearest, a part at a time; ids count up as they were made."""
    scores = np.full((len(queries), K), -np.inf, np.float32)
    ids = np.full((len(queries), K), -1)
    step = 50_000  # as `build` makes them
    for first in range(0, count, step):
        cosines = queries @ clusters.part(first, min(step, count - first)).T
        every = np.concatenate([scores, cosines], axis=1)
        numbers = np.concatenate(
            [ids, np.tile(np.arange(first, first + cosines.shape[1]), (len(ids), 1))], axis=1
        )
        best = np.argsort(-every, axis=1)[:, :K]
        scores, ids = (np.take_along_axis(part, best, 1) for part in (every, numbers))
    return [row.tolist() for row in ids]


def ask(home: Path, name: str, queries: FloatArray) -> dict[str, Any]:
    """What a reader sees: milliseconds, megabytes beside those of the libraries, ids found."""
    before = resident("self")
    start = time.perf_counter()
    memory = open_memory(home, name)
    opened = time.perf_counter() - start
    norms = np.ones(1, np.float32)
    start = time.perf_counter()
    memory.search(queries[:1], norms)
    memory.nearest.rows("image", queries[:1], K)
    first = time.perf_counter() - start
    times: dict[str, list[float]] = {"nearest": [], "search": []}
    found = []
    for i in range(len(queries)):
        query = queries[i : i + 1]
        start = time.perf_counter()
        _, rows = memory.nearest.rows("image", query, K)
        times["nearest"].append(time.perf_counter() - start)
        found.append([memory.entries.id_of(int(row)) for row in rows[0] if row >= 0])
        start = time.perf_counter()
        memory.search(query, norms)
        times["search"].append(time.perf_counter() - start)
    said = {
        f"{what}_p{share}_ms": round(1000 * float(np.percentile(seconds, share)), 2)
        for what, seconds in times.items()
        for share in (50, 95)
    }
    return {
        "open_s": round(opened, 2),
        "first_s": round(first, 2),
        **said,
        "reader_mb": round(resident("self") - before),
        "found": found,
    }


def _asked(home: Path, name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.milvus", "--ask", str(home), name]
    done = subprocess.run(
        [*command, str(home / "queries.npy")], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def _server(place: Path, given: tuple[str, str] | None) -> Iterator[tuple[str, str]]:
    """Address and process id of the server."""
    if given:
        yield given[0].rstrip("/"), given[1]
        return
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "milvus_lite", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--data-dir", str(place / "milvus")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with closing(socket.socket()) as asked:
                if not asked.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        yield f"milvus://127.0.0.1:{port}", str(process.pid)
    finally:
        process.kill()
        process.wait()


def resident(pid: str) -> float:
    """Megabytes that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1e3


if __name__ == "__main__":
    main()
