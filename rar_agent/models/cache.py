"""Answers kept on disk, so that the same question is paid for once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, TypeVar

from rar_agent.errors import ConfigurationError
from rar_agent.forks import OfProcess, Once
from rar_agent.locks import locked
from rar_agent.models.flights import Flights
from rar_agent.telemetry import events

_log = events(__name__)

_T = TypeVar("_T")

_WAIT_MS = 2_000  # for another process that is writing; then it goes without
_DROPPED = 0.1  # share of the answers that goes where there is no room for another
_LOST = (sqlite3.Error, OSError, ConfigurationError)
_NOT_OURS = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}

_TABLE = """
CREATE TABLE IF NOT EXISTS answers(
    key BLOB PRIMARY KEY, answer TEXT NOT NULL, used INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS by_use ON answers(used);
"""
_NEXT = "(SELECT coalesce(max(used), 0) + 1 FROM answers)"  # no clock, which may be set back


class AnswerCache(OfProcess):
    """Texts by key in an SQLite file, which processes share. Thread-safe.

    What goes wrong with the file is logged and costs answers, never a recognition: a damaged file
    is set aside as `*.damaged`, and a new one begun.

    Args:
        path: The file; made with its folder when first used.
        megabytes: Its largest size; those go first whose last use is longest ago. The log beside it
            takes a few megabytes more.

    Attributes:
        flights: Answers on their way into it.
    """

    def __init__(self, path: Path, megabytes: float) -> None:
        self.flights: Flights[Any] = Flights()
        self._path = path
        self._bytes = megabytes * 1_000_000
        self._connection: sqlite3.Connection | None = None
        self._inherited: list[sqlite3.Connection] = []
        self._warned = False
        super().__init__()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        if self._connection:  # a fork must neither use nor close it
            self._inherited.append(self._connection)
            self._connection = None

    def get(self, key: bytes) -> str | None:
        """The text that is kept under a key, or None."""

        def look(file: sqlite3.Connection) -> str | None:
            found = file.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
            if not found:
                return None
            file.execute("PRAGMA busy_timeout = 0")
            with suppress(sqlite3.OperationalError):  # others are writing: not worth a wait
                file.execute(f"UPDATE answers SET used = {_NEXT} WHERE key = ?", (key,))  # noqa: S608
            file.execute(f"PRAGMA busy_timeout = {_WAIT_MS}")
            return str(found[0])

        return self._try(look)

    def put(self, key: bytes, answer: str) -> None:
        """Keep a text, and drop what there is no room for any more."""

        def keep(file: sqlite3.Connection) -> None:
            row = f"INSERT OR REPLACE INTO answers VALUES (?, ?, {_NEXT})"  # noqa: S608
            file.execute(row, (key, answer))
            while self._size(file) > self._bytes and self._drop(file):
                pass

        self._try(keep)

    @staticmethod
    def _size(file: sqlite3.Connection) -> int:
        pages, free, size = (
            int(file.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    @staticmethod
    def _drop(file: sqlite3.Connection) -> int:
        """Drop the answers whose last use is longest ago; how many."""
        (count,) = file.execute("SELECT count(*) FROM answers").fetchone()
        oldest = "SELECT rowid FROM answers ORDER BY used LIMIT ?"
        number = max(1, int(_DROPPED * count))
        dropped = file.execute(f"DELETE FROM answers WHERE rowid IN ({oldest})", (number,))  # noqa: S608
        file.executescript("PRAGMA incremental_vacuum")  # execute() would free a single page
        return dropped.rowcount

    def _try(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        with self._lock:
            try:
                if self._connection is None:
                    with self._opening():
                        self._connection = self._open()
                return work(self._connection)
            except _LOST as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code in _NOT_OURS:
                    try:
                        self._set_aside(error)
                    except _LOST as another:
                        self._warn(another)
                elif code != sqlite3.SQLITE_BUSY:
                    self._warn(error)
                return None

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("answers are not kept", file=self._path, error=error)

    def _opening(self) -> AbstractContextManager[None]:
        return locked(Path(f"{self._path}.lock"), _WAIT_MS / 1_000)

    def _open(self) -> sqlite3.Connection:
        file = sqlite3.connect(
            self._path, timeout=_WAIT_MS / 1_000, isolation_level=None, check_same_thread=False
        )
        try:
            file.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before there is a table
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last answers
            file.executescript(_TABLE)
            file.execute("SELECT key, answer, used FROM answers LIMIT 0")
        except BaseException:
            file.close()
            raise
        return file

    def _set_aside(self, error: Exception) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None
        with self._opening():
            if self._sound():  # another process has put a new one there
                return
            for end in ("-wal", "-shm", ""):  # a new file must not find the old one's log
                part = Path(f"{self._path}{end}")
                if part.exists():
                    part.replace(f"{part}.damaged")
        _log.warning("the file of answers was damaged; begun anew", file=self._path, error=error)

    def _sound(self) -> bool:
        try:
            file = self._open()
        except sqlite3.Error:
            return False
        try:
            return bool(file.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        except sqlite3.Error:
            return False
        finally:
            file.close()


@Once
def cache_at(path: Path, megabytes: float) -> AnswerCache:
    """The process's one cache in a file."""
    return AnswerCache(path, megabytes)
