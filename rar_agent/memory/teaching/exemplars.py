"""From images to exemplar vectors: one view of each, or the mean of several."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from rar_agent.encoders import Encoder, FloatArray
from rar_agent.encoders.base import Pixels, normalize

Views = Literal["one", "flip", "crops"]
"""The image; it and its mirror image; it and five crops of `CROP` of its sides."""

CROP = 0.8
"""Share of each side that a crop keeps: the four corners and the centre."""


def views_of(image: Image.Image, views: Views) -> list[Image.Image]:
    """What of an image is encoded: as many of any image."""
    if views == "one":
        return [image]
    return _flipped(image) if views == "flip" else _crops(image)


def encode_exemplars(encoder: Encoder, images: Sequence[Sequence[Pixels]]) -> FloatArray:
    """Vectors of images, each the normalised mean over its views.

    Args:
        encoder: That prepared the views.
        images: n of them, each as many prepared views.

    Returns:
        (n, d) float32 unit rows.
    """
    vectors = encoder.encode_prepared([view for image in images for view in image])[0]
    each = len(images[0]) if images else 1
    if each == 1:
        return vectors
    means = vectors.reshape(len(images), each, -1).mean(axis=1)
    return normalize(np.asarray(means, np.float32))[0]


def thumbnail(image: Image.Image, side: int) -> bytes:
    """A small JPEG of an image, its longer side at most `side` pixels."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()


def _flipped(image: Image.Image) -> list[Image.Image]:
    return [image, ImageOps.mirror(image)]


def _crops(image: Image.Image) -> list[Image.Image]:
    width, height = (max(1, round(CROP * side)) for side in image.size)
    right, bottom = image.width - width, image.height - height
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom), (right // 2, bottom // 2)]
    return [image, *(image.crop((x, y, x + width, y + height)) for x, y in corners)]
