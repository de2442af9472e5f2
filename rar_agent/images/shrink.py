"""An image as a model provider wants it: scaled down to a budget of encoded bytes."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from io import BytesIO

from PIL import Image

MAX_SIDE = 768
"""Longest side in pixels: enough for plumage, a few hundred tokens with most providers."""

MAX_BASE64 = 4_500_000
"""Most base64 characters: providers' limit of 5 MB is on the base64, not on the file."""

MIME_TYPE = "image/jpeg"

_PLAIN = frozenset({"jfif", "jfif_version", "jfif_unit", "jfif_density"})
"""What every JPEG's header says."""


@dataclass(frozen=True)
class Picture:
    """An image encoded for a provider: JPEG, without any metadata.

    Attributes:
        jpeg: The file.
        width: In pixels.
        height: In pixels.
        optional: Whether it may be left out where a server takes fewer pictures.
    """

    jpeg: bytes
    width: int
    height: int
    optional: bool = False

    @property
    def base64(self) -> str:
        """The file in base64."""
        return base64.b64encode(self.jpeg).decode("ascii")

    @property
    def metadata(self) -> list[str]:
        """Names of what the file holds besides pixels and what is needed to decode them."""
        return sorted(str(name) for name in Image.open(BytesIO(self.jpeg)).info.keys() - _PLAIN)

    def within(self, side: int) -> Picture:
        """Itself, or a smaller one whose longest side is this, in pixels."""
        if max(self.width, self.height) <= side:
            return self
        smaller = to_picture(Image.open(BytesIO(self.jpeg)), side)
        return replace(smaller, optional=self.optional)


def to_picture(rgb: Image.Image, max_side: int = MAX_SIDE, max_base64: int = MAX_BASE64) -> Picture:
    """Encode an image within a size; the same bytes for the same pixels.

    Args:
        rgb: Mode RGB.
        max_side: Longest side in pixels; larger images are scaled down, smaller ones kept.
        max_base64: Most characters of base64.
    """
    side = max_side
    while True:
        scaled = rgb.copy()
        scaled.info = {}  # Pillow would write a JPEG's comment again
        scaled.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = BytesIO()
        scaled.save(buffer, format="JPEG", quality=90)
        jpeg = buffer.getvalue()
        if -(-len(jpeg) // 3) * 4 <= max_base64 or side <= 32:
            return Picture(jpeg, *scaled.size)
        side = side * 3 // 4
