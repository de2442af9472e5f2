"""One writer at a time; who holds the lock, and since when, is written beside it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from rar_agent.errors import BusyError, ConfigurationError


@contextmanager
def writer_lock(folder: Path, wait_s: float = 2.0) -> Iterator[None]:
    """Hold the memory's writer lock; the system releases it if the process dies.

    Args:
        folder: The memory's folder; made if it is not there.
        wait_s: Seconds to wait for another writer.

    Raises:
        BusyError: Another writer kept it; the message says who and for how long.
        ConfigurationError: The folder cannot be written.
    """
    lock, owner = FileLock(folder / "writer.lock"), folder / "writer.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        raise BusyError(
            f"Memory '{folder.name}' is being written by {_describe(owner)}.",
            "Wait until it is done.",
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"'{folder}' cannot be written: {error.strerror}.",
            "Set RAR_HOME to a folder that can be written.",
        ) from error
    try:
        claim = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        with suppress(OSError):  # a full disk: the lock holds all the same
            owner.write_text(json.dumps(claim))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _describe(owner: Path) -> str:
    try:
        claim = json.loads(owner.read_bytes())
        age = time.time() - float(claim["since"])
        return f"process {claim['pid']} on {claim['host']}, for {age:.0f} s"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
