"""What an agent's call costs beside a direct recognition: over MCP, on both transports, warm.

    python -m benchmarks.agents [--count 60]

Each way sees each photo once, in turn, so that none is answered from memory and all share the
machine's other work. Milliseconds, median (fastest tenth to slowest tenth); builtin encoder, no
ranking model.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import jsonschema  # type: ignore[import-untyped]
import numpy as np
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from rar_agent.example import example_photo
from rar_agent.images import admit
from rar_agent.recognizer import Recognizer
from rar_agent.types import Recognition

COMMAND = str(Path(sys.executable).parent / "rar-agent")
Way = Callable[[Path], Awaitable[object]]


def photos(folder: Path, count: int) -> list[Path]:
    """Files that differ: the sample photo, shifted."""
    base = np.asarray(admit(example_photo()).rgb)
    paths = [folder / f"{i}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        Image.fromarray(np.roll(base, 7 * i, axis=1)).save(path, quality=90)
    return paths


def by_path(session: ClientSession) -> Way:
    """A call that names the file."""
    return lambda photo: session.call_tool("recognize_image", {"image": str(photo)})


def by_data(session: ClientSession) -> Way:
    """A call that carries the file."""

    def call(photo: Path) -> Awaitable[object]:
        data = base64.b64encode(photo.read_bytes()).decode()
        return session.call_tool("recognize_image", {"data": data})

    return call


def protocol(session: ClientSession) -> Way:
    """A call that does next to nothing."""
    return lambda _: session.call_tool("list_memories", {})


async def over_stdio(stack: AsyncExitStack, variables: dict[str, str]) -> ClientSession:
    """A session with a server of its own."""
    parameters = StdioServerParameters(command=COMMAND, args=["mcp"], env=variables)
    read, write = await stack.enter_async_context(stdio_client(parameters))
    session = await stack.enter_async_context(ClientSession(read, write))
    await session.initialize()
    return session


async def over_http(stack: AsyncExitStack, variables: dict[str, str]) -> ClientSession:
    """A session with a server of its own."""
    token = secrets.token_urlsafe()
    command = [COMMAND, "mcp", "--http", "--port", "0"]
    environment = {**os.environ, **variables, "RAR_MCP_TOKEN": token}
    server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    stack.callback(server.wait)
    stack.callback(server.terminate)
    assert server.stderr is not None
    url = server.stderr.readline().split()[-1]
    headers = {"Authorization": f"Bearer {token}"}
    client = await stack.enter_async_context(httpx.AsyncClient(headers=headers, timeout=60))
    streams = await stack.enter_async_context(streamable_http_client(url, http_client=client))
    session = await stack.enter_async_context(ClientSession(streams[0], streams[1]))
    await session.initialize()
    return session


async def measure(
    ways: dict[str, tuple[Way, list[Path]]],
) -> dict[str, list[float]]:
    """Milliseconds of each way for its photos, the ways in turn; the first photos only warm."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(len(next(iter(ways.values()))[1])):
        for name, (way, files) in ways.items():
            start = time.perf_counter()
            await way(files[i])
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: times[3:] for name, times in taken.items()}


def checked(found: Recognition, runs: int) -> list[float]:
    """Milliseconds that the official client takes to check a result against the tool's schema."""
    schema = Recognition.model_json_schema(mode="serialization")
    plain = found.model_dump(mode="json")
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        jsonschema.validate(plain, schema)
        times.append(1000 * (time.perf_counter() - start))
    return times


async def greeted(variables: dict[str, str], runs: int) -> list[float]:
    """Milliseconds from starting a stdio server to its answer to `initialize`."""
    times = []
    for _ in range(runs):
        async with AsyncExitStack() as stack:
            start = time.perf_counter()
            await over_stdio(stack, variables)
            times.append(1000 * (time.perf_counter() - start))
    return times


async def run(count: int, runs: int) -> dict[str, list[float]]:
    """All figures, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        files = photos(Path(folder), 2 * (count + 3))
        named, sent = files[::2], files[1::2]
        recognizer = Recognizer(device="cpu")
        variables = {
            "RAR_HOME": str(recognizer.settings.home),
            "RAR_ROOTS": folder,
            "RAR_DEVICE": "cpu",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }

        async def direct(photo: Path) -> object:
            return recognizer.recognize(photo)

        async with AsyncExitStack() as stack:
            stdio = await over_stdio(stack, variables)
            http = await over_http(stack, variables)
            figures = await measure(
                {
                    "Recognizer.recognize": (direct, named),
                    "stdio, by path": (by_path(stdio), named),
                    "stdio, by data": (by_data(stdio), sent),
                    "HTTP, by path": (by_path(http), named),
                    "HTTP, by data": (by_data(http), sent),
                    "stdio, list_memories": (protocol(stdio), named),
                    "HTTP, list_memories": (protocol(http), named),
                }
            )
        return {
            **figures,
            "client's check of the schema": checked(recognizer.recognize(named[0]), count),
            "stdio, start to initialize": await greeted(variables, runs),
        }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=60, help="Photos of each way.")
    parser.add_argument("--runs", type=int, default=5, help="Starts of a server.")
    args = parser.parse_args()
    for name, times in asyncio.run(run(args.count, args.runs)).items():
        low, high = np.percentile(times, [10, 90])
        middle = statistics.median(times)
        sys.stdout.write(f"{name:28} {middle:7.1f} ({low:.1f} to {high:.1f})\n")


if __name__ == "__main__":
    main()
