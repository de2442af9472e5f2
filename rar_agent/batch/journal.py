"""A journal: one line for each item that was done, written and fsynced before anything else."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rar_agent.errors import ConfigurationError, DamagedDataError, InputError
from rar_agent.locks import HELD, no_locks, require_locks

_FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """What became of an item.

    Attributes:
        key: The item's; unique in a journal.
        result: Plain data.
        failed: Whether it is to be tried again when the work goes on.
    """

    key: str
    result: Mapping[str, Any]
    failed: bool = False

    def line(self) -> bytes:
        """As it is written."""
        said = {"key": self.key, "failed": self.failed, "result": self.result}
        return json.dumps(said, ensure_ascii=False, allow_nan=False).encode() + b"\n"


class Journal:
    """Entries on disk, shared by the processes that do one work together.

    A process that dies, even in the middle of a line, costs no entry but the one that it was
    writing. An item that was done is never written again; one that failed may be.

    Args:
        path: The file; made if it is not there.
        configuration: Hash of all that decides results; a journal is of one configuration.

    Raises:
        InputError: It is another configuration's.
        DamagedDataError: A line before the last cannot be read.
        ConfigurationError: The file cannot be read, written or locked.
    """

    def __init__(self, path: Path, configuration: str) -> None:
        self.path = path
        self._entries: dict[str, Entry] = {}
        self._read, self._lines = 0, 0
        self.successes = 0
        """Items that were done and did not fail, as far as it was read."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            require_locks(path)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            # Of this file, single bytes are locked: one for each share of the work.
            self._shares = os.open(path.with_suffix(".shares"), os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise ConfigurationError(
                f"Journal '{path}' cannot be written: {error.strerror}.", "Choose another folder."
            ) from error
        try:
            with self._held():
                self._begin(configuration)
                self._refresh()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End; what others hold stays theirs."""
        os.close(self._file)
        os.close(self._shares)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The newest entry of each item, as far as it was read; see `refresh`."""
        return self._entries

    def refresh(self) -> None:
        """Read what other processes have written meanwhile.

        Raises:
            DamagedDataError: A line cannot be read.
        """
        with self._held():
            self._refresh()

    def done(self, key: str) -> bool:
        """Whether an item was done, and did not fail."""
        entry = self._entries.get(key)
        return entry is not None and not entry.failed

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries; when this returns they are on disk.

        Raises:
            InputError: One was done already: that item was worked on twice.
            ConfigurationError: They cannot be written.
        """
        if not entries:
            return
        with self._held():
            self._refresh()
            seen = set[str]()
            for entry in entries:
                if self.done(entry.key) or entry.key in seen:
                    raise InputError(
                        f"'{entry.key}' is in journal '{self.path}' already.",
                        "An item is done once; this is a fault of the program that runs it.",
                    )
                seen.add(entry.key)
            self._write(b"".join(entry.line() for entry in entries))
            self._refresh()

    @contextmanager
    def share(self, number: int) -> Iterator[bool]:
        """Take a share of the work, if no other process has it; the system frees a dead one's.

        Yields:
            Whether it is this process's.

        Raises:
            ConfigurationError: Files cannot be locked there.
        """
        try:
            fcntl.lockf(self._shares, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError as error:
            if error.errno not in HELD:
                raise no_locks(self.path, error.strerror) from error
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._shares, fcntl.LOCK_UN, 1, number)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the file's lock; closing the file frees it too, wherever an interrupt struck."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            raise no_locks(self.path, error.strerror) from error
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _begin(self, configuration: str) -> None:
        """Write the first line, or compare it."""
        size = os.fstat(self._file).st_size
        first = os.pread(self._file, min(size, 10_000), 0).partition(b"\n")
        if not first[1]:  # new, or its maker died at once
            os.ftruncate(self._file, 0)
            head = {"journal": _FORMAT, "configuration": configuration}
            self._write(json.dumps(head).encode() + b"\n")
            return
        _check(self.path, first[0], configuration)

    def _refresh(self) -> None:
        """Read on; a last line without an end is that of a process that died."""
        size = os.fstat(self._file).st_size
        data = os.pread(self._file, size - self._read, self._read)
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):  # whoever holds the lock is the only writer
            os.ftruncate(self._file, self._read + len(whole))
        for entry in _parsed(self.path, whole.split(b"\n")[:-1], self._lines):
            self.successes += (not entry.failed) - self.done(entry.key)
            self._entries[entry.key] = entry
        self._read += len(whole)
        self._lines += whole.count(b"\n")

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError as error:
            raise ConfigurationError(
                f"Journal '{self.path}' cannot be written: {error.strerror}.",
                "What was written before is kept; go on when there is room.",
            ) from error


def read_journal(path: Path, configuration: str) -> list[Entry]:
    """The newest entry of each item; for who may only read. Somebody may be writing.

    Args:
        path: The file; where there is none, nothing was done.
        configuration: As for `Journal`.

    Raises:
        InputError: It is another configuration's.
        DamagedDataError: A line before the last cannot be read.
        ConfigurationError: The file cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last end is half a line
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(
            f"Journal '{path}' cannot be read: {error.strerror}.", "Have it made readable."
        ) from error
    if lines:
        _check(path, lines[0], configuration)
    return list({entry.key: entry for entry in _parsed(path, lines, 0)}.values())


def _check(path: Path, first: bytes, configuration: str) -> None:
    """Compare the first line."""
    try:
        head = json.loads(first)
        version, other = head["journal"], head["configuration"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedDataError(
            f"'{path}' is no journal: {error}.", "Choose another folder."
        ) from error
    if version != _FORMAT:
        raise ConfigurationError(
            f"Journal '{path}' is of format {version}, not {_FORMAT}.",
            "Go on with the version that began it, or choose another folder.",
        )
    if other != configuration:
        raise InputError(
            f"Journal '{path}' is of another configuration: {other}, not {configuration}.",
            "Go on with the settings it was begun with, or choose another folder.",
        )


def _parsed(path: Path, lines: Sequence[bytes], before: int) -> Iterator[Entry]:
    """Entries of lines, of which the first in a file has none."""
    for number, line in enumerate(lines, before + 1):
        if number == 1:
            continue
        try:
            said = json.loads(line)
            yield Entry(str(said["key"]), dict(said["result"]), bool(said["failed"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedDataError(
                f"'{path}', line {number}, cannot be read: {error}.",
                "Remove that line: its item is done again.",
            ) from error
