"""MCP over HTTP from one process to many behind nginx: throughput, latency, memory.

    python -m benchmarks.processes [--processes 1,2,4] [--clients 1,8,32] [--images 96] [--runs 3]
        [--threads 1]
    python -m benchmarks.processes --restarts 5

nginx runs as docs/serving.md prints it, with TLS and passwords, but for the limits of an address;
"direct" is one process without it. Each client asks about the next photo as soon as it has its
answer, over a connection that stays open. Photos are all different (some 41 kB of JPEG), 1,000
categories, builtin encoder, no ranking model. The clients are another process on the same machine,
whose cores they share. Memory: the share of a process (PSS) of what servers and their decoders
hold, after the run with the most clients. `--restarts` restarts three processes one by one, so many
times, under 16 clients, and counts requests.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks.figures import OURS, Figure, joined, write
from rar_agent import Category
from rar_agent.encoders import load_encoder
from rar_agent.example import example_photo
from rar_agent.images import admit
from rar_agent.memory import create_memory
from rar_agent.settings import load_settings
from tests.agents.mcp.conftest import BEARER
from tests.agents.mcp.serving.conftest import (
    ACCEPT,
    BASIC,
    STATELESS,
    Load,
    Server,
    answer,
    called,
    nginx_before,
)
from tests.conftest import COLOURS, draw

_NO_LIMITS = {
    "rate=5r/s": "rate=100000r/s",
    "burst=40": "burst=100000",
    "rar_open 20": "rar_open 9999",
}


def photos(seed: int = 0) -> Iterator[str]:
    """The sample photo in random shifts, in base64; never one again."""
    random, base = np.random.default_rng(seed), np.asarray(admit(example_photo()).rgb)
    while True:
        file = io.BytesIO()
        shifted = np.roll(base, random.integers(0, min(base.shape[:2]), 2), axis=(0, 1))
        Image.fromarray(shifted).save(file, "JPEG", quality=90)
        yield base64.b64encode(file.getvalue()).decode()


async def asked(
    client: httpx.AsyncClient, path: str, images: Sequence[str], clients: int
) -> tuple[float, list[float]]:
    """Seconds that all took, and each request.

    Raises:
        AssertionError: A request was not answered.
    """
    left, seconds = list(images), []

    async def ask() -> None:
        while left:
            request, start = called("recognize_image", data=left.pop()), time.perf_counter()
            assert answer(await client.post(path, json=request))["trace"]["memory"]
            seconds.append(time.perf_counter() - start)

    start = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(clients)))
    return time.perf_counter() - start, seconds


def measured(
    name: str, connection: dict[str, Any], images: Sequence[str], clients: int
) -> list[Figure]:
    """Throughput and latency of one way to ask."""

    async def run() -> tuple[float, list[float]]:
        limits = httpx.Limits(max_connections=clients)
        async with httpx.AsyncClient(**connection, limits=limits, timeout=120) as client:
            await asked(client, "/mcp", images[:clients], clients)  # connections, first images
            return await asked(client, "/mcp", images[clients:], clients)

    took, seconds = asyncio.run(run())
    shares = zip((50, 95, 99), np.percentile(seconds, [50, 95, 99]), strict=True)
    return [
        Figure(f"{name}, {clients} clients", "requests/s", (len(seconds) / took,)),
        *(
            Figure(f"{name}, {clients} clients, p{share}", "ms", (1000 * float(value),))
            for share, value in shares
        ),
    ]


def memory(servers: Sequence[Server]) -> list[float]:
    """MB of each server, with its decoders."""
    found = []
    for server in servers:
        own = Path(f"/proc/{server.process.pid}")
        children = [task / "children" for task in (own / "task").iterdir()]
        numbers = [number for one in children for number in one.read_text().split()]
        rollups = [own, *(Path(f"/proc/{number}") for number in numbers)]
        lines = [
            line
            for one in rollups
            for line in (one / "smaps_rollup").read_text().splitlines()
            if line.startswith("Pss:")
        ]
        found.append(sum(int(line.split()[1]) for line in lines) / 1024)
    return found


def figures(
    processes: Sequence[int] = (1, 2, 4),
    clients: Sequence[int] = (1, 8, 32),
    images: int = 96,
    runs: int = 3,
    threads: int = 1,
) -> list[Figure]:
    """All of it.

    Args:
        processes: How many servers there are, one after another.
        clients: How many ask at the same time.
        images: Asked about in each run, after as many as there are clients.
        runs: Of each, in turns.
        threads: Of each server.
    """
    told: list[Figure] = []
    fresh = photos()
    variables = {
        "RAR_HOME": str(load_settings().home),
        "RAR_DEVICE": "cpu",
        "OMP_NUM_THREADS": str(threads),
    }
    for count in processes:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            servers = [Server(variables, folder, STATELESS).start() for _ in range(count)]
            for server in servers:
                stack.callback(server.stop)
            for server in servers:
                server.wait()
            ports = [server.port for server in servers]
            nginx = stack.enter_context(nginx_before(ports, folder, changes=_NO_LIMITS))
            through = nginx.connection({**BASIC, **ACCEPT})
            ways: dict[str, dict[str, Any]] = {f"{count} behind nginx": through}
            if count == 1:
                direct = {"base_url": servers[0].url, "headers": {**BEARER, **ACCEPT}}
                ways["1, direct"] = direct
            for several in clients:
                turns: dict[str, list[list[Figure]]] = {name: [] for name in ways}
                for _ in range(runs):
                    for name, connection in ways.items():
                        sent = [next(fresh) for _ in range(several + images)]
                        turns[name].append(measured(name, connection, sent, several))
                found = [one for same in turns.values() for one in joined(same)]
                write(found)
                told += found
            held = Figure(f"{count} behind nginx, each", "MB", tuple(memory(servers)), OURS)
            write([held])
            told.append(held)
    return told


def restarts(rounds: int, count: int = 3, clients: int = 16) -> str:
    """How many requests were sent, and how many were answered rightly, while all restart.

    The memory is one of six colours, as the tests have it, so that answers can be checked.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        taught = [
            (Category(name=colour), [draw(colour, 100 * c + i) for i in range(3)])
            for c, colour in enumerate(COLOURS)
        ]
        create_memory(folder, "colours", load_encoder("builtin", load_settings()), taught)
        variables = {"RAR_HOME": str(folder), "RAR_MEMORY": "colours", "OMP_NUM_THREADS": "1"}
        servers = [Server(variables, folder).start() for _ in range(count)]
        for server in servers:
            stack.callback(server.stop)
        for server in servers:
            server.wait()
        ports = [server.port for server in servers]
        nginx = stack.enter_context(nginx_before(ports, folder, changes=_NO_LIMITS))
        with Load(nginx, clients) as load:
            for _ in range(rounds):
                for server in servers:
                    load.more(30)
                    server.stop()
                    server.start().wait()
        done = f"{rounds * count} restarts, {load.sent:,} requests, {load.right:,} answered rightly"
        return "\n".join([done, *load.wrong[:9]])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", default="1,2,4")
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="Of each process.")
    parser.add_argument("--restarts", type=int, help="Of each of three processes, under load.")
    args = parser.parse_args()
    if args.restarts:
        sys.stdout.write(restarts(args.restarts) + "\n")
        return
    processes, clients = (
        [int(one) for one in given.split(",")] for given in (args.processes, args.clients)
    )
    figures(processes, clients, args.images, args.runs, args.threads)


if __name__ == "__main__":
    main()
