"""What runs in an actor: one shard after another, each begun anew wherever it is tried again."""

from __future__ import annotations

import faulthandler
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from rar_agent.errors import InputError, RarError
from rar_agent.garbage import keep_freed
from rar_agent.scale.ray.run import Run

MOST_TRIES = 5
"""Of a shard, before it is taken for what ends its workers."""


class Doing(Protocol):
    """Does shards."""

    def do(self, number: int, alive: Callable[[], None]) -> None:
        """Do a shard, and keep its result.

        Args:
            number: Of the shard.
            alive: To be called whenever something of it is done.
        """


@dataclass(frozen=True)
class Job:
    """What actors are sent.

    Attributes:
        run: Where shards and results lie.
        token: What they have to find there.
        begin: Loads what does shards, once in each actor.
        folder: The driver's working folder, for relative paths.
        patience_s: Seconds in which something of a shard has to be done.
    """

    run: Run
    token: str
    begin: Callable[[Run], Doing]
    folder: str
    patience_s: float


class Worker:
    """An actor of Ray Data.

    Args:
        job: What it is to do.
    """

    def __init__(self, job: Job) -> None:
        keep_freed()
        self._job = job
        self._doing: Doing | None = None
        # What a watchdog ends is begun anew elsewhere; where it hung is of use to nobody there.
        self._nowhere = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the actor

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Do one shard, unless it is done; says what was wrong where something was."""
        number = int(row["shard"])
        try:
            self._do(number)
        except RarError as error:
            return said(number, type(error).__name__, error.message, error.fix)
        except Exception as error:
            return said(number, type(error).__name__, str(error))
        finally:
            faulthandler.cancel_dump_traceback_later()
        return said(number)

    def _do(self, number: int) -> None:
        job = self._job
        self._alive()
        job.run.require_seen(job.token, platform.node())
        if job.run.try_again(number) > MOST_TRIES:
            raise InputError(
                f"Shard {number} has ended {MOST_TRIES} workers, each with another in its place; "
                f"its images are listed in {job.run.folder}/lists/{number:08d}.jsonl.",
                "If memory was short, set RAR_RAY_WORKERS to fewer; if an image ends its decoder, "
                "RAR_ISOLATE=1 makes it one failure.",
            )
        if self._doing is None:
            with suppress(OSError):  # of the driver's alone
                os.chdir(job.folder)
            self._doing = job.begin(job.run)
        self._doing.do(number, self._alive)

    def _alive(self) -> None:
        """Have this process end when nothing is done for too long; it needs no lock for that."""
        faulthandler.dump_traceback_later(self._job.patience_s, exit=True, file=self._nowhere)


def said(number: int, kind: str = "", message: str = "", fix: str = "") -> dict[str, Any]:
    """What a worker says of a shard: that it is done, or what was wrong."""
    return {"shard": number, "kind": kind, "message": message, "fix": fix}
