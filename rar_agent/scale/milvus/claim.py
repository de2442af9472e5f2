"""One writer at a time, over all machines: a row says who, and is renewed while it writes.

Milvus has no transactions and no unique keys, but with strong consistency a row that was written
is seen by whoever asks later. So each writer first writes its own row and then looks: of two, at
least one sees the other, and who sees another takes its row back.
"""

from __future__ import annotations

import json
import math
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from rar_agent.errors import BusyError, RarError
from rar_agent.scale.milvus.files import Files
from rar_agent.scale.milvus.server import CALL_S

LEASE_S = 120.0
"""Seconds without renewal after which a writer is taken for dead."""
_RENEW_S = 20.0
_WAIT_S = 2.0  # for another writer, as on this machine
_PREFIX = "writer/"
_LARGEST_PID = 2**31 - 1


class Claim:
    """What one writer holds.

    Args:
        files: Of the memory.
        address: As messages show it.
    """

    def __init__(self, files: Files, address: str) -> None:
        self._files, self._address = files, address
        self._key = f"{_PREFIX}{secrets.token_hex(8)}"
        self._since = self._renewed = time.time()
        self._lost = False  # for good
        self._done = threading.Event()

    def require(self) -> None:
        """Check that nobody has taken over.

        Raises:
            BusyError: Somebody has, or may have: this writer was not heard of for too long.
        """
        if not self._is_held():
            raise BusyError(
                f"Memory '{self._address}' was taken over by another writer, or may have been, as "
                f"this one was not heard of for {LEASE_S:.0f} s.",
                "Nothing of this change was kept; run it again.",
            )

    def take(self) -> None:
        """Become the one writer.

        Raises:
            BusyError: Another one is, and said so lately.
        """
        until = time.monotonic() + _WAIT_S
        while True:
            self._renew()
            others = {k: v for k, v in self._files.rows(_PREFIX).items() if k != self._key}
            alive = {key: text for key, text in others.items() if not _dead(text)}
            if others.keys() - alive.keys():
                self._files.drop_rows(others.keys() - alive.keys())
            if not alive:
                return
            self.give_back()
            if time.monotonic() > until:
                raise BusyError(
                    f"Memory '{self._address}' is being written by "
                    f"{_describe(next(iter(alive.values())))}.",
                    f"Wait until it is done. A writer that died is forgotten after {LEASE_S:.0f} "
                    "s, on its own machine at once.",
                )
            time.sleep(random.uniform(0.1, 0.4))

    def keep(self) -> None:
        """Renew it until it is given back; runs in a thread of its own."""
        while not self._done.wait(_RENEW_S):
            with suppress(RarError):  # the next try, or the commit, will say so
                if self._is_held():
                    self._renew()

    def stop(self) -> None:
        """Have `keep` end."""
        self._done.set()

    def give_back(self) -> None:
        """Let others write."""
        self._files.drop_rows([self._key])

    def _is_held(self) -> bool:
        """Whether it is; once it was not, or others may have taken it for dead, it never is."""
        if not (self._lost or self._is_late()):
            self._lost = self._key not in self._files.rows(_PREFIX)
        self._lost = self._lost or self._is_late()  # also while it was asked
        return not self._lost

    def _is_late(self) -> bool:
        return time.time() - self._renewed > LEASE_S  # which counts a machine's sleep

    def _renew(self) -> None:
        now = time.time()
        claim = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "machine": _machine(),
            "since": self._since,
            "seen": now,
        }
        self._files.put_rows([(self._key, json.dumps(claim))])
        if not self._is_late():  # or the row has come back after others dropped it
            self._renewed = now


@contextmanager
def claimed(files: Files, address: str) -> Iterator[Claim]:
    """Be the one writer of a memory.

    Raises:
        BusyError: Another one is.
    """
    claim = Claim(files, address)
    claim.take()
    thread = threading.Thread(target=claim.keep, daemon=True)
    thread.start()
    try:
        yield claim
    finally:
        claim.stop()
        thread.join(CALL_S)  # or it would renew what was given back
        with suppress(RarError):  # it is forgotten after a while
            claim.give_back()


def _dead(text: str) -> bool:
    """Whether a writer is: it did not renew its row, or its process is gone from this machine.

    A row from a far future is no living writer's either: clocks agree within a minute.
    """
    claim = _read(text)
    if claim is None or abs(time.time() - claim["seen"]) > LEASE_S:
        return True
    here = _machine()
    if not here or claim["machine"] != here or claim["pid"] == os.getpid():
        return False
    try:
        os.kill(claim["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine() -> str:
    """Where a process id means one process: this boot, this container; empty where unknown.

    Names of hosts do not say: two machines or containers may have the same.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}" if boot else ""
    except OSError:
        return ""


def _read(text: str) -> dict[str, Any] | None:
    """What a row says; None where no writer can have written it."""
    try:
        claim = from_json(text)  # refuses what is nested too deep, unlike json
        pid, since, seen = claim["pid"], float(claim["since"]), float(claim["seen"])
        if type(pid) is not int or not 0 < pid <= _LARGEST_PID:
            return None
        if not (math.isfinite(since) and math.isfinite(seen)):
            return None
        machine = str(claim.get("machine", ""))
        host = str(claim["host"])
        return {"pid": pid, "host": host, "machine": machine, "since": since, "seen": seen}
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _describe(text: str) -> str:
    claim = _read(text)
    if claim is None:
        return "another process"
    age = max(0.0, time.time() - claim["since"])
    return f"process {claim['pid']} on {claim['host']!r:.80}, for {age:.0f} s"
