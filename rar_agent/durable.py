"""Small files that are there whole or not at all, whatever ends the process that writes them."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a file: who reads it has the old content or the new, also after a power cut.

    Folders that are made for it are for this user alone.

    Args:
        path: The file.
        data: All of its new content.
        mode: Who may do what with it, less the process's umask.

    Raises:
        OSError: The disk is full, or nothing may be written there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(draft, flags, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
