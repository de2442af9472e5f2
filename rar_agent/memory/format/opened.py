"""Opening a memory's files: it may have come from elsewhere, with anything in a file's place."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from pydantic import ValidationError

from rar_agent.errors import DamagedDataError
from rar_agent.memory.format.location import advice
from rar_agent.telemetry import UNPRINTABLE

_LONGEST = 600  # characters of a reason


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; never what a link names, a pipe or a device.

    Who made the folder could have a link show another file of this machine, and a pipe or a device
    would never end.

    Raises:
        FileNotFoundError: There is nothing.
        OSError: It is something else, or may not be read.
    """
    if path.is_symlink():
        raise OSError(0, "is a link; put the file itself in its place")
    # It may have become a link or a pipe since: neither is followed nor waited for.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "is no regular file")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, most: int) -> bytes:
    """Read a regular file of up to `most` bytes.

    Raises:
        FileNotFoundError: There is nothing.
        OSError: It is something else, longer, or may not be read.
    """
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(0, f"has more than {most} bytes")
    return data


def reason(error: object) -> str:
    """What went wrong, in one line that a terminal may be shown."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        words = f"{place}: {first['msg'].removeprefix('Value error, ')}".removeprefix(": ")
    elif isinstance(error, FileNotFoundError):
        words = "it is missing"
    elif isinstance(error, OSError):
        words = error.strerror or str(error)
    elif isinstance(error, KeyError):
        words = f"it has no {error}"
    else:
        words = str(error) or type(error).__name__
    return UNPRINTABLE.sub("?", " ".join(words.split()))[:_LONGEST].rstrip(".")


def damaged(folder: Path, name: str, error: object) -> DamagedDataError:
    """The error of a damaged file.

    Args:
        folder: The memory's.
        name: Of the file, from there.
        error: What was raised, or what is wrong, after "is damaged:".
    """
    why = reason(error)
    return DamagedDataError(f"{folder / name} is damaged: {why}.", advice(folder))
