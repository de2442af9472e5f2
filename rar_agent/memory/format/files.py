"""Immutable files, named by their content; complete and synced before anything names them."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import ConfigurationError, DamagedDataError
from rar_agent.memory.format.location import advice
from rar_agent.memory.format.manifest import FileRef
from rar_agent.memory.format.opened import open_regular, reason

DATA = "data"


class FileWriter:
    """Writes one immutable file piece by piece; its `ref` is known when `writing` ends."""

    def __init__(self, draft: Path) -> None:
        self._file = draft.open("wb")
        self._hash = hashlib.sha256()
        self._size = 0
        self._ref: FileRef | None = None

    @property
    def ref(self) -> FileRef:
        """Its name and size."""
        assert self._ref is not None  # noqa: S101 - asked after the block only
        return self._ref

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._hash.update(data)
        self._file.write(data)
        self._size += len(data)

    def finish(self, kind: str) -> FileRef:
        """Sync what was written; the file's name follows from its content."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._ref = FileRef(name=f"{self._hash.hexdigest()}.{kind}", size=self._size)
        return self._ref

    def close(self) -> None:
        """Give up, if it was not finished."""
        with suppress(OSError):  # a full disk: what waited to be written cannot be
            self._file.close()


@contextmanager
def writing(folder: Path, kind: str) -> Iterator[FileWriter]:
    """Write an immutable file of a memory; the same content twice is one file.

    Raises:
        ConfigurationError: The disk is full or may not be written.
    """
    draft = folder / DATA / f"{secrets.token_hex(8)}.tmp"
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        writer = FileWriter(draft)
        try:
            yield writer
            ref = writer.finish(kind)
            path = folder / DATA / ref.name
            if path.exists() and path.stat().st_size == ref.size:
                draft.unlink()
            else:
                draft.replace(path)
        finally:
            writer.close()
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(folder / DATA, error) from error


def adopt_file(folder: Path, draft: Path, kind: str) -> FileRef:
    """Make a file that another library wrote an immutable file of the memory.

    Raises:
        ConfigurationError: It cannot be synced or renamed.
    """
    try:
        with draft.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        ref = FileRef(name=f"{digest}.{kind}", size=draft.stat().st_size)
        draft.replace(folder / DATA / ref.name)
    except OSError as error:
        raise cannot_write(folder / DATA, error) from error
    return ref


def write_file(folder: Path, data: bytes, kind: str) -> FileRef:
    """Write an immutable file at once.

    Raises:
        ConfigurationError: The disk is full or may not be written.
    """
    with writing(folder, kind) as file:
        file.write(data)
    return file.ref


def replace_file(path: Path, data: bytes) -> None:
    """Write a named file durably: readers see the old content or the new.

    Raises:
        ConfigurationError: The disk is full or may not be written.
    """
    draft = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise cannot_write(path, error) from error
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names of new files in a folder durable.

    Raises:
        ConfigurationError: The disk is full or may not be written.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise cannot_write(folder, error) from error


def map_array(folder: Path, ref: FileRef, dtype: np.dtype, count: int) -> NDArray:  # type: ignore[type-arg]
    """Memory-map `count` items of a file.

    Raises:
        DamagedDataError: It is missing, no regular file, or has another size.
    """
    path, wanted = folder / DATA / ref.name, count * dtype.itemsize
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size == ref.size == wanted:
                if not size:
                    return np.empty(0, dtype)
                # The same bytes; each view of a memmap takes a microsecond more, and there are
                # many.
                return np.memmap(file, dtype=dtype, mode="r").view(np.ndarray)
        found = f"has {size} bytes"
    except FileNotFoundError:
        found = "is missing"
    except OSError as error:
        found = reason(error)
    raise DamagedDataError(f"{path} {found}; {wanted} bytes were written.", advice(folder))


def read_ids(folder: Path, ref: FileRef | None) -> NDArray[np.int64]:
    """Ids of a file, ascending; none without a file.

    Raises:
        DamagedDataError: It is missing or has another size.
    """
    if ref is None:
        return np.empty(0, np.int64)
    return map_array(folder, ref, np.dtype("<i8"), ref.size // 8)


def cannot_write(path: Path, error: OSError) -> ConfigurationError:
    """What is said where the system refuses to write."""
    return ConfigurationError(
        f"'{path}' cannot be written: {reason(error)}.",
        "Make room, or set RAR_HOME to a folder that can be written.",
    )
