"""An image as a model provider wants it: scaled down to a budget of encoded bytes."""

from __future__ import annotations

import base64
from io import BytesIO

from PIL import Image

MAX_SIDE = 768
"""Longest side in pixels: enough for plumage, a few hundred tokens with most providers."""

MAX_BASE64 = 4_500_000
"""Most base64 characters: providers' limit of 5 MB is on the base64, not on the file."""


def to_data_uri(rgb: Image.Image, max_side: int = MAX_SIDE, max_base64: int = MAX_BASE64) -> str:
    """Encode as a JPEG data URI within a size.

    Args:
        rgb: Mode RGB.
        max_side: Longest side in pixels; larger images are scaled down, smaller ones kept.
        max_base64: Most characters of base64.

    Returns:
        `data:image/jpeg;base64,…`, the same text for the same pixels.
    """
    side = max_side
    while True:
        scaled = rgb.copy()
        scaled.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = BytesIO()
        scaled.save(buffer, format="JPEG", quality=90)
        encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
        if len(encoded) <= max_base64 or side <= 32:
            return f"data:image/jpeg;base64,{encoded}"
        side = side * 3 // 4
