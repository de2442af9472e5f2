"""Which index files FAISS may parse on this machine: those that this machine wrote.

FAISS's parser is C++ that forged files can harm, and a sha256 in a manifest proves nothing where
the manifest came with the file. So what this machine wrote is recorded outside of the memory, in
the user's state folder: a memory that was copied here is searched exactly until its index is
built anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from platformdirs import user_state_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rar_agent.durable import replace_file
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.memory.format.opened import open_regular

_DIGEST = r"^[0-9a-f]{64}$"
_MACHINE = "machine"
_FIX = "Make the folder one that you can write, or have memories searched exactly."


class _Record(BaseModel):
    """A file that this machine wrote."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    machine: str = Field(pattern=_DIGEST)
    sha256: str = Field(pattern=_DIGEST)
    size: int
    mtime_ns: int
    inode: int
    device: int
    ctime_ns: int = 0
    """Unlike the time of change, no program can set it back."""


class Trust:
    """The records of one user on one machine, one small file for each index file.

    Any number of processes may use the same folder.

    Args:
        state_folder: Where records are kept; the user's state folder if None.
    """

    def __init__(self, state_folder: Path | None = None) -> None:
        self._folder = (state_folder or user_state_path("rar-agent")) / "indexes"

    def written(self, path: Path, sha256: str) -> None:
        """Record a file that this machine has just written, durably.

        Args:
            path: The file under its final name.
            sha256: Of its content, 64 hex digits; the caller computed it from what was written.

        Raises:
            InputError: The digest is none, or there is no such file.
            ConfigurationError: The record cannot be written.
        """
        if not re.fullmatch(_DIGEST, sha256):
            raise InputError(f"'{sha256}' is not a sha256.", "Give 64 lower-case hex digits.")
        try:
            found = path.stat()
        except OSError as error:
            raise InputError(
                f"'{path}' cannot be seen: {error.strerror}.", "Write it first."
            ) from error
        self._record(sha256, _times(found))

    @contextmanager
    def opened(self, path: Path, sha256: str) -> Iterator[Path | None]:
        """Hold a file open that FAISS may parse.

        What is checked is what is parsed: the path that is given leads to the opened file also
        where another takes its name meanwhile, on systems that have such paths.

        A file whose size, times, inode and device are those recorded is not read again; if one
        differs (the folder was moved, a backup restored) the content is hashed, and recorded
        anew where it is the same. A record that is missing, damaged or of another machine counts
        as none; a link is none of the files that this machine wrote.

        Args:
            path: The index file.
            sha256: Of its content, as the manifest names it.

        Yields:
            Where to read it; None where this machine did not write it, or it has changed since.
        """
        record = self._read(sha256)
        if record is None or record.machine != self._known_machine():
            yield None
            return
        try:
            file = open_regular(path)
        except OSError:
            yield None
            return
        with file:
            if not self._is_recorded(file, record):
                yield None
                return
            held = Path(f"/proc/self/fd/{file.fileno()}")
            yield held if held.exists() else path

    def may_parse(self, path: Path, sha256: str) -> bool:
        """Whether this machine wrote the file and it has not changed since; see `opened`."""
        with self.opened(path, sha256) as found:
            return found is not None

    def _is_recorded(self, file: BufferedReader, record: _Record) -> bool:
        now = _times(os.fstat(file.fileno()))
        if now == record.model_dump(include=set(now)):
            return True
        if now["size"] != record.size or _hash(file) != record.sha256:
            return False
        if _times(os.fstat(file.fileno())) != now:
            return False
        with suppress(ConfigurationError):  # then it is hashed again next time
            self._record(record.sha256, now)
        return True

    def _record(self, sha256: str, times: dict[str, int]) -> None:
        record = _Record(machine=self._machine(), sha256=sha256, **times)
        _write(self._folder / f"{sha256}.json", record.model_dump_json().encode())

    def _read(self, sha256: str) -> _Record | None:
        if not re.fullmatch(_DIGEST, sha256):  # it becomes a file's name
            return None
        try:
            record = _Record.model_validate_json((self._folder / f"{sha256}.json").read_bytes())
        except (OSError, ValidationError):
            return None
        return record if record.sha256 == sha256 else None

    def _known_machine(self) -> str | None:
        """This machine's id, a random one, if it has one already."""
        try:
            known = (self._folder / _MACHINE).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return None
        return known if re.fullmatch(_DIGEST, known) else None

    def _machine(self) -> str:
        if known := self._known_machine():
            return known
        _write(self._folder / _MACHINE, (made := secrets.token_hex(32)).encode())
        return self._known_machine() or made  # of two processes at once the last one's id stays


def _times(found: os.stat_result) -> dict[str, int]:
    """What a record says of a file beside its content."""
    return {
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "inode": found.st_ino,
        "device": found.st_dev,
        "ctime_ns": found.st_ctime_ns,
    }


def _hash(file: BufferedReader) -> str:
    try:
        return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _write(path: Path, data: bytes) -> None:
    try:
        replace_file(path, data)
    except OSError as error:
        raise ConfigurationError(f"'{path}' cannot be written: {error.strerror}.", _FIX) from error
