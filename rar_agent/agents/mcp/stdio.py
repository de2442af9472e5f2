"""The stdio transport: one client, which started this process and speaks over its pipes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server


def run_stdio(server: Server[Any, Any]) -> None:
    """Serve until standard input ends, or SIGINT or SIGTERM."""
    asyncio.run(_serve(server))


async def _serve(server: Server[Any, Any]) -> None:
    stdin, stdout = _take_pipes()
    loop, serving = asyncio.get_running_loop(), asyncio.current_task()
    assert serving is not None  # noqa: S101 - in a coroutine
    with suppress(NotImplementedError):  # on Windows Ctrl-C cancels by itself
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, serving.cancel)
    with suppress(asyncio.CancelledError), os.fdopen(stdout, "w", encoding="utf-8") as out:
        lines: Any = _lines(stdin)  # of which only iteration is asked
        async with stdio_server(lines, anyio.wrap_file(out)) as (read, write):
            await server.run(read, write, server.create_initialization_options())


def _take_pipes() -> tuple[int, int]:
    """Take standard input and output away from all others in this process.

    Whatever prints, in Python, in C or in a child, prints to standard error from here on.
    """
    sys.stdout.flush()
    pipes = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return pipes


async def _lines(file: int) -> AsyncIterator[str]:
    """Lines of a pipe, read in a thread that does not keep the process from ending.

    The SDK's own reader does: a thread that waits for input cannot be interrupted.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        with suppress(RuntimeError):  # the loop is closed
            while True:
                part = os.read(file, 1 << 16)
                loop.call_soon_threadsafe(waiting.put_nowait, part)
                if not part:
                    return

    threading.Thread(target=read, name="rar-agent-stdin", daemon=True).start()
    begun: list[bytes] = []
    while part := await waiting.get():
        *whole, rest = part.split(b"\n")
        for line in whole:
            yield b"".join([*begun, line]).decode("utf-8", "replace")
            begun.clear()
        begun.append(rest)
