"""From what a row holds in its image column to an image source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from rar_agent.errors import InputError
from rar_agent.images import ImageSource
from rar_agent.images.policy import printable


def image_from(value: object, folder: Path) -> ImageSource | None:
    """The image that a cell holds or names; None where it is empty.

    Args:
        value: A path, a URL, encoded bytes, Hugging Face's {"bytes", "path"}, a PIL image.
        folder: What relative paths are relative to.

    Raises:
        InputError: It is none of these.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if value is None or isinstance(value, Image.Image):
        return value
    if isinstance(value, bytes):
        return value or None
    if not isinstance(value, str | Path):
        raise InputError(
            f"The image is a {type(value).__name__}.", "Give a path, an https URL or bytes."
        )
    name = str(value).strip()
    if "://" in name:
        if not name.startswith(("https://", "http://")):
            raise InputError(
                f"'{printable(name)[:300]}' is no address that is read.",
                "Give a path or an https URL, or have the data set hold the bytes.",
            )
        return name
    return folder / name if name else None


def source_of(image: ImageSource | None, where: str) -> str:
    """How to find an image again: its own path or URL, or else where it was read."""
    return printable(str(image) if isinstance(image, str | Path) else where)
