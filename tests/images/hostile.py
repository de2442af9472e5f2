"""Files that were made to hurt whoever opens them, each made by a few lines, and what they are.

Nobody's binaries: what is wrong with a file can be read here.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw

Expected = Literal["image", "error"]


@dataclass(frozen=True)
class Hostile:
    """One file.

    Attributes:
        name: What is wrong with it.
        make: Its bytes.
        expected: An image within the limits, or our error.
        reason: Part of the error's message.
    """

    name: str
    make: Callable[[], bytes]
    expected: Expected
    reason: str = ""


def picture(width: int = 24, height: int = 16, mode: str = "RGB") -> Image.Image:
    """A small image in which each quarter differs, so that what is turned shows."""
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, width // 2, height // 2), fill="red")
    pen.rectangle((width // 2, height // 2, width, height), fill="blue")
    return image.convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def frames(count: int, side: int = 4) -> list[Image.Image]:
    """Images that differ each from the next, so that no encoder joins them."""
    return [
        Image.new("RGB", (side, side), (n % 256, n // 256 % 256, n % 7 * 30)) for n in range(count)
    ]


def catalogue() -> list[Hostile]:
    """All of them."""
    from tests.images import (
        hostile_jpeg,
        hostile_others,
        hostile_png,
        hostile_tiff,
        hostile_usual,
    )

    modules = (hostile_usual, hostile_png, hostile_jpeg, hostile_tiff, hostile_others)
    return [one for module in modules for one in module.FILES]
