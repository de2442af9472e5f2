"""The size at which a detector is given an image: no more pixels than it can look at."""

from __future__ import annotations

from typing import cast

from PIL import Image


def shown(image: Image.Image, short: float, long: float) -> Image.Image:
    """Shrink an image for a detector that will resize it.

    Detectors look at about a megapixel, some with a resize that skips pixels where it shrinks to
    less than half. So half is left to them, to see small and usual photos as their authors' code
    does; the rest is done here, where every pixel counts and 40 megapixels never become floats.

    Args:
        image: RGB.
        short: Pixels that the detector wants of the shorter side.
        long: Most pixels that it takes of the longer side.

    Returns:
        The image itself, or a smaller one of the same shape. Only very long strips change theirs,
        to keep 2 pixels across: detectors round 1 down to none.
    """
    scale = min(short / min(image.size), long / max(image.size))  # what the detector does
    least = 1 if scale >= 1 else 2
    sides = (max(least, min(side, round(2 * scale * side))) for side in image.size)
    size = cast(tuple[int, int], tuple(sides))
    if size == image.size:
        return image
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def unshown(
    corners: tuple[float, float, float, float], small: Image.Image, image: Image.Image
) -> tuple[float, float, float, float]:
    """A box in the image, of its corners (left, top, right, bottom) in what was shown of it."""
    left, top, right, bottom = corners
    across, down = image.width / small.width, image.height / small.height
    return left * across, top * down, (right - left) * across, (bottom - top) * down
