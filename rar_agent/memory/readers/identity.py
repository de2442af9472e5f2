"""What tells one input from another."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

from rar_agent.errors import InputError
from rar_agent.images import AdmittedImage, ImageSource
from rar_agent.images.policy import printable


def identity_of(kind: str, *parts: str | int) -> str:
    """Sha256 in hex of what was read how; no two lists of parts run into one."""
    return hashlib.sha256(json.dumps([kind, *parts]).encode()).hexdigest()


def content_hash(file: Path) -> str:
    """Sha256 in hex of a file's bytes, read piece by piece.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(file, error) from error


def file_state(file: Path) -> str:
    """Size in bytes and time of change of a file that is too large to hash; empty if gone."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}"


def image_state(image: ImageSource | AdmittedImage | None) -> str:
    """What tells one image from another without decoding files: a hash, or a place and state."""
    if isinstance(image, AdmittedImage):
        return image.sha256
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    if isinstance(image, Path):
        return f"{printable(str(image))}:{file_state(image)}"
    if isinstance(image, Image.Image):
        image = np.asarray(image)
    if isinstance(image, np.ndarray):
        pixels = hashlib.sha256(np.ascontiguousarray(image).tobytes())
        return f"{image.shape}:{image.dtype}:{pixels.hexdigest()}"
    return printable(str(image or ""))


def unreadable(file: Path, error: Exception) -> InputError:
    """The error for a file that cannot be opened."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InputError(
        f"'{printable(str(file))}' cannot be read: {reason}.", "Check the path and its rights."
    )
