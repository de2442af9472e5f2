"""A box's crop: some of its surroundings, blurred, as the paper shows objects to a model."""

from __future__ import annotations

import math

from PIL import Image, ImageFilter

from rar_agent.errors import InputError
from rar_agent.types import Box

_SMALL, _MEDIUM = 32.0**2, 96.0**2
"""Areas in pixels below which COCO calls an object small, or medium."""
_SCALES = (2.0, 1.5, 1.2)
"""Side of the crop in sides of the box, of small, medium and large objects: the paper's scale
depends on the size and is not printed; small objects need their surroundings most."""
_BLUR = 0.05
"""Standard deviation of the blur, in sides of the crop; the paper's is not printed."""


def crop(image: Image.Image, box: Box) -> Image.Image:
    """The box with some of its surroundings, which are blurred.

    Args:
        image: RGB.
        box: In it; what is over the edge is cut off.

    Returns:
        RGB; within the image, so its sides need not be the box's times the scale.

    Raises:
        InputError: Nothing of the box is in the image.
    """
    left, top, width, height = box
    inner = _within(image, left, top, left + width, top + height)
    if not all(map(math.isfinite, box)) or inner is None:
        raise InputError(
            f"Box {[round(side, 1) for side in box]} is not in an image of "
            f"{image.width}x{image.height} pixels.",
            "Boxes are left, top, width and height in pixels.",
        )
    area = width * height
    scale = _SCALES[0 if area < _SMALL else 1 if area < _MEDIUM else 2]
    more_x, more_y = (scale - 1) / 2 * width, (scale - 1) / 2 * height
    outer = _within(
        image, left - more_x, top - more_y, left + width + more_x, top + height + more_y
    )
    assert outer is not None  # noqa: S101 - it holds the inner one
    whole = image.crop(outer)
    blurred = whole.filter(ImageFilter.GaussianBlur(_BLUR * max(whole.size)))
    blurred.paste(image.crop(inner), (inner[0] - outer[0], inner[1] - outer[1]))
    return blurred


def _within(
    image: Image.Image, left: float, top: float, right: float, bottom: float
) -> tuple[int, int, int, int] | None:
    """Whole pixels of the image that a box touches; None where there is none."""
    if not all(map(math.isfinite, (left, top, right, bottom))):
        return None
    found = (
        max(0, math.floor(left)),
        max(0, math.floor(top)),
        min(image.width, math.ceil(right)),
        min(image.height, math.ceil(bottom)),
    )
    return found if found[0] < found[2] and found[1] < found[3] else None
