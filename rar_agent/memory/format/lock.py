"""One writer at a time; who holds the lock, and since when, is written beside it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from rar_agent.errors import BusyError
from rar_agent.locks import locked
from rar_agent.memory.format.generation import give_back, present
from rar_agent.memory.format.origin import called, origin_of
from rar_agent.telemetry import events

_log = events(__name__)


@contextmanager
def writer_lock(folder: Path, wait_s: float = 2.0) -> Iterator[None]:
    """Hold the memory's writer lock; the system releases it if the process dies.

    Of one that is kept elsewhere, the lock there too.

    What a writer that fails has written is removed, as far as no generation needs it.

    Args:
        folder: The memory's folder; made if it is not there.
        wait_s: Seconds to wait for another writer.

    Raises:
        BusyError: Another writer kept it; the message says who and for how long.
        ConfigurationError: The folder cannot be written, or has no locks.
        ServerError: It is kept elsewhere, where nobody answers.
    """
    owner, here = folder / "writer.json", socket.gethostname()
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / "writer.lock", wait_s))
        except TimeoutError as error:
            raise BusyError(
                f"Memory '{called(folder)}' is being written by {_describe(owner)}.",
                "Wait until it is done.",
            ) from error
        if (left := _claim(owner)) and left["host"] != here:
            _log.warning(
                "a writer died, or this file system does not share locks between machines",
                memory=folder.name,
                writer=_describe(owner),
            )
        if origin := origin_of(folder):
            stack.enter_context(origin.writing())
        claim = {"pid": os.getpid(), "host": here, "since": time.time()}
        before = present(folder)
        try:
            with suppress(OSError):  # a full disk: the lock holds all the same
                owner.write_text(json.dumps(claim))
            yield
        except BaseException:
            give_back(folder, before)
            raise
        finally:
            with suppress(OSError):  # it may only be read any more
                owner.unlink(missing_ok=True)


def _claim(owner: Path) -> dict[str, Any] | None:
    """Who says that it writes; None where nobody does, or not so that it could be read."""
    try:
        claim = json.loads(owner.read_bytes())
        return {"pid": claim["pid"], "host": claim["host"], "since": float(claim["since"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _describe(owner: Path) -> str:
    if (claim := _claim(owner)) is None:
        return "another process"
    age = max(0.0, time.time() - claim["since"])  # the clock may have been set back
    return f"process {claim['pid']} on {claim['host']}, for {age:.0f} s"
