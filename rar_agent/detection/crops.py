"""A box's crop: some of its surroundings, blurred, as the paper shows objects to a model."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter

from rar_agent.errors import InputError
from rar_agent.types import Box

SIDE = 768
"""Longest side of a crop in pixels that is enough for every encoder (260 to 384) and ranker."""

_SMALL, _MEDIUM = 32.0**2, 96.0**2
"""Areas in pixels below which COCO calls an object small, or medium."""
_LARGEST = 4_096
"""Longest side of a square: of a panorama's box it would have many times the image's pixels."""
_PLAIN = (127, 127, 127)
"""Where a square is over the image's edge: what encoders take for zero, so that it says least."""
_RED = (255, 0, 0)
_LINE = 0.015
"""Width of the outline, in sides of the crop; at least a pixel."""

_Area = tuple[int, int, int, int]  # left, top, right, bottom, in whole pixels


@dataclass(frozen=True)
class CropStyle:
    """How a box is shown; what is usual was chosen among 14 styles, see docs/detection.md.

    Attributes:
        scales: Side of the crop in sides of the box, of small, medium and large boxes by COCO's
            areas (32 and 96 pixels squared), each at least 1. The paper's scale depends on the size
            and is not printed; small objects need their surroundings most.
        square: Whether the shorter side is widened to the longer one, with what is there in the
            image, and with grey over its edge. Encoders that squeeze an image to a square, or cut
            one out of it, then neither distort nor lose what is in the box.
        blur: Standard deviation of the Gaussian blur of what is around the box, in sides of the
            crop, from 0 (sharp) to 1; the paper's is not printed.
        outline: Whether a red line is drawn around the box, outside of it, which models trained on
            pictures from the web take as pointing (Shtedritski et al. 2023, arXiv 2304.06712).

    Raises:
        InputError: A number is out of its range.
    """

    scales: tuple[float, float, float] = (2.0, 1.5, 1.2)
    square: bool = True
    blur: float = 0.02
    outline: bool = False

    def __post_init__(self) -> None:
        if len(self.scales) != 3 or not all(1 <= scale < math.inf for scale in self.scales):
            raise InputError(
                f"Crop scales {list(self.scales)} are not three numbers of at least 1.",
                "Give sides of the crop in sides of the box, of small, medium and large boxes: "
                "2, 1.5, 1.2.",
            )
        if not 0 <= self.blur <= 1:
            raise InputError(
                f"Crop blur {self.blur} is not from 0 to 1.",
                "Give it in sides of the crop: 0.02; 0 is sharp.",
            )


_USUAL = CropStyle()


def crop(
    image: Image.Image, box: Box, style: CropStyle = _USUAL, side: int | None = None
) -> Image.Image:
    """The box with some of its surroundings.

    Args:
        image: RGB.
        box: Left, top, width and height in pixels; what is over the image's edge is cut off.
        style: How much of its surroundings, and how they look.
        side: Longest side of the result in pixels, at most: of a larger part of the image nothing
            of its own size is ever made. None: as it is in the image, but 4,096 of a square.

    Returns:
        RGB, of at least one pixel. Not scaled up; unless it is square, within the image, so that
        its sides need not be the box's times the scale. What is in the box is never blurred.

    Raises:
        InputError: Nothing of the box is in the image, or the side is not at least 1.
    """
    if side is not None and side < 1:
        raise InputError(f"A crop of {side} pixels is none.", "Give a side of at least 1.")
    inner = _within(image, box, 1.0)
    if inner is None:
        raise InputError(
            f"Box {[round(length, 1) for length in box]} is not in an image of "
            f"{image.width}x{image.height} pixels.",
            "Boxes are left, top, width and height in pixels.",
        )
    area = box[2] * box[3]
    scale = style.scales[0 if area < _SMALL else 1 if area < _MEDIUM else 2]
    real = _within(image, box, scale)
    assert real is not None  # noqa: S101 - it holds the inner one
    frame = _squared(real) if style.square else real
    real = _common(frame, (0, 0, *image.size))
    size = _bounded(_size(frame), side or (_LARGEST if style.square else None))
    there, place = _placed(real, frame, size), _placed(inner, frame, size)
    if size == _size(frame):
        found = image.crop(real)
    else:  # straight from the image, so that no large part of it is copied
        fit = Image.Resampling.LANCZOS
        found = image.resize(_size(there), fit, box=real, reducing_gap=2.0)
    if style.blur:
        _blur(found, _less(place, there), style.blur * max(size))
    if found.size != size:
        padded = Image.new("RGB", size, _PLAIN)
        padded.paste(found, there[:2])
        found = padded
    if style.outline:
        _outline(found, place)
    return found


def _within(image: Image.Image, box: Box, scale: float) -> _Area | None:
    """Whole pixels of the image that a scaled box touches; None where there is none."""
    left, top, width, height = box
    if not all(map(math.isfinite, box)) or width <= 0 or height <= 0:
        return None
    more_x, more_y = (scale - 1) / 2 * width, (scale - 1) / 2 * height
    found = (
        math.floor(max(0.0, left - more_x)),
        math.floor(max(0.0, top - more_y)),
        math.ceil(min(float(image.width), left + width + more_x)),
        math.ceil(min(float(image.height), top + height + more_y)),
    )
    return found if found[0] < found[2] and found[1] < found[3] else None


def _squared(area: _Area) -> _Area:
    """The square around an area, of its longer side, over the image's edge where need be."""
    width, height = _size(area)
    longest = max(width, height)
    left, top = area[0] - (longest - width) // 2, area[1] - (longest - height) // 2
    return left, top, left + longest, top + longest


def _common(one: _Area, other: _Area) -> _Area:
    left, top, right, bottom = zip(one, other, strict=True)
    return max(left), max(top), min(right), min(bottom)


def _size(area: _Area) -> tuple[int, int]:
    return area[2] - area[0], area[3] - area[1]


def _bounded(size: tuple[int, int], side: int | None) -> tuple[int, int]:
    """Itself, or a smaller one of the same shape whose longer side is this."""
    longest = max(size)
    if side is None or longest <= side:
        return size
    return max(1, round(size[0] * side / longest)), max(1, round(size[1] * side / longest))


def _placed(area: _Area, frame: _Area, size: tuple[int, int]) -> _Area:
    """Where an area of a frame is once the frame has that size: all pixels that it touches."""
    (wide, high), (left, top) = _size(frame), frame[:2]
    return (
        (area[0] - left) * size[0] // wide,
        (area[1] - top) * size[1] // high,
        -((left - area[2]) * size[0] // wide),
        -((top - area[3]) * size[1] // high),
    )


def _less(area: _Area, origin: _Area) -> _Area:
    left, top = origin[:2]
    return area[0] - left, area[1] - top, area[2] - left, area[3] - top


def _blur(image: Image.Image, sharp: _Area, sigma: float) -> None:
    """Blur all but one part."""
    kept = image.crop(sharp)
    image.paste(image.filter(ImageFilter.GaussianBlur(sigma)))
    image.paste(kept, sharp[:2])


def _outline(image: Image.Image, place: _Area) -> None:
    """Draw a line around a part, outside of it, as far as the image goes."""
    width = max(1, round(_LINE * max(image.size)))
    around = place[0] - width, place[1] - width, place[2] + width - 1, place[3] + width - 1
    ImageDraw.Draw(image).rectangle(around, outline=_RED, width=width)
