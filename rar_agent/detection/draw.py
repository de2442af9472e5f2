"""Detections drawn on their image: frames and labels that are seen on any background."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageColor, ImageDraw

from rar_agent.detection.labels import LEAST_LETTER, Label, Rectangle, label_of, place
from rar_agent.errors import InputError
from rar_agent.types import Detection, Detections

PALETTE = (
    "#d55e00",
    "#56b4e9",
    "#f0e442",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#0072b2",
    "#000000",
)
"""Vermillion, sky blue, yellow, bluish green, reddish purple, orange, blue, black: colours that
people with any colour vision tell apart (Okabe & Ito, "Color Universal Design", 2008)."""
UNSURE = "#bbbbbb"
"""Of boxes that were abstained or failed."""
_DASHES = ((0.0, 0.0), (4.0, 1.0), (1.8, 1.0))
"""Lengths of a dash and a gap in widths of the line, of the first, second and third categories of
one colour; more categories of it look like these again. The first has none."""
_DOTS = (1.5, 1.2)
"""Of boxes that were abstained or failed."""
_LETTER = 0.027
"""Height of a letter, in sides of a square as large as the image."""
_LINE = 0.18
"""Width of a line in heights of a letter."""
_SMALLER = (1.0, 0.8, 0.65)
_CROWDED, _HIDDEN = 0.25, 0.01
"""Share of the image that labels may cover, and of the labels that others may hide, before all are
drawn smaller."""


def draw(image: Image.Image, detections: Detections, least: float = 0.0) -> Image.Image:
    """Draw detections on their image.

    A category has one colour and pattern in an image, whatever `least`: the first eight differ in
    colour, the next sixteen in the dashes of the line too, and after these the same come again. An
    abstained box is dotted and grey, and its label a question mark, with the branch where that is
    sure. A line is around its box, and covers nothing of it but at the image's edge; a hairline of
    black or white on both sides tells it from a background of its colour. Smaller boxes are drawn
    over larger ones, labels over all; a label is where it hides least of other labels and of small
    boxes, and all are smaller where they would still hide each other.

    Args:
        image: The upright image, in its own size.
        detections: Of it; boxes outside of it are not drawn.
        least: The least score that is drawn, 0 to 1.

    Returns:
        A new RGB image of the same size. Lines and letters grow with it.

    Raises:
        InputError: The image has another size than the one that the detections are of.
    """
    if image.size != (detections.width, detections.height):
        raise InputError(
            f"The image has {image.width}x{image.height} pixels, the detections are of one with "
            f"{detections.width}x{detections.height}.",
            "Give the image that they are of, upright and in its own size.",
        )
    drawn = image.convert("RGB") if image.mode != "RGB" else image.copy()
    looks = _looks(detections.detections)
    shown = [
        (inside, one)
        for one in detections.detections
        if one.score >= least and (inside := _inside(one, image.size))
    ]
    shown.sort(key=lambda pair: -_area(pair[0]))
    layout = _layout(shown, image.size)
    pen = ImageDraw.Draw(drawn)
    for frame, (_, one) in zip(layout.frames, shown, strict=True):
        _line(pen, frame, layout.line, looks[one.label])
    for plate, label, (_, one) in zip(layout.plates, layout.labels, shown, strict=True):
        label.draw(pen, plate, looks[one.label].colour, looks[one.label].ink)
    return drawn


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2; from 4.5, text is readable)."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def ink_on(colour: str) -> str:
    """Black or white, whichever is read better on a colour: their contrast is at least 4.5."""
    return max("#000000", "#ffffff", key=lambda ink: contrast(ink, colour))


def _luminance(colour: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (part / 255 for part in ImageColor.getrgb(colour)[:3])
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@dataclass(frozen=True)
class _Look:
    colour: str
    ink: str
    dashes: tuple[float, float]


def _looks(detections: Sequence[Detection]) -> dict[str | None, _Look]:
    """Of each name; None is that of boxes without one."""
    names = dict.fromkeys(one.label for one in detections if one.label is not None)
    looks: dict[str | None, _Look] = {None: _Look(UNSURE, ink_on(UNSURE), _DOTS)}
    for at, name in enumerate(names):
        again, which = divmod(at, len(PALETTE))
        colour = PALETTE[which]
        looks[name] = _Look(colour, ink_on(colour), _DASHES[again % len(_DASHES)])
    return looks


def _inside(detection: Detection, size: tuple[int, int]) -> Rectangle | None:
    """The pixels of a box that are in the image; None where there are none."""
    left, top, wide, high = detection.box
    if not all(map(math.isfinite, (*detection.box, left + wide, top + high))):
        return None
    found = (
        max(0, math.floor(left)),
        max(0, math.floor(top)),
        min(size[0], math.ceil(left + wide)),
        min(size[1], math.ceil(top + high)),
    )
    return found if found[0] < found[2] and found[1] < found[3] else None


def _area(rectangle: Rectangle) -> int:
    return (rectangle[2] - rectangle[0]) * (rectangle[3] - rectangle[1])


@dataclass(frozen=True)
class _Layout:
    line: int
    """Width of a line in pixels, without the hairlines."""
    frames: list[Rectangle]
    """Outer edges of the lines."""
    labels: list[Label]
    plates: list[Rectangle]
    """Where the labels go."""


def _layout(shown: Sequence[tuple[Rectangle, Detection]], size: tuple[int, int]) -> _Layout:
    whole = _LETTER * math.sqrt(math.prod(size))
    for times in _SMALLER:
        letter = max(LEAST_LETTER, round(whole * times))
        labels = [label_of(one, size, letter) for _, one in shown]
        covered = sum(math.prod(label.size) for label in labels)
        if covered > _CROWDED * math.prod(size) and times != _SMALLER[-1]:
            continue
        line = max(2, round(_LINE * letter))
        frames = [_grown(inside, line + 2 * _hair(line), size) for inside, _ in shown]
        plates, hidden = place(frames, labels, size)
        if hidden <= _HIDDEN * covered:
            break
    return _Layout(line, frames, labels, plates)


def _grown(inside: Rectangle, by: int, size: tuple[int, int]) -> Rectangle:
    left, top, right, bottom = inside
    return max(0, left - by), max(0, top - by), min(size[0], right + by), min(size[1], bottom + by)


def _hair(line: int) -> int:
    return max(1, round(line / 5))


def _line(pen: ImageDraw.ImageDraw, frame: Rectangle, line: int, look: _Look) -> None:
    """Dashes within a frame, each with a hairline of ink around it."""
    hair = _hair(line)
    width = line + 2 * hair
    dash, gap = (round(width * times) for times in look.dashes)
    left, top, right, bottom = frame
    strokes = [
        (start, at, end, min(at + width, bottom))
        for at in (top, max(top, bottom - width))
        for start, end in _dashes(left, right, dash, gap)
    ] + [
        (at, start, min(at + width, right), end)
        for at in (left, max(left, right - width))
        for start, end in _dashes(top, bottom, dash, gap)
    ]
    for inset, colour in ((0, look.ink), (hair, look.colour)):
        for a, b, c, d in strokes:
            if min(c - a, d - b) > 2 * inset:
                pen.rectangle((a + inset, b + inset, c - 1 - inset, d - 1 - inset), colour)


def _dashes(start: int, end: int, dash: int, gap: int) -> list[tuple[int, int]]:
    """Where dashes along a side start and end: one at each corner, gaps no shorter than asked."""
    number = (end - start + gap) // (dash + gap) if dash else 1
    if number < 2:
        return [(start, end)]
    step = (end - start - dash) / (number - 1)
    return [(start + round(at * step), start + round(at * step) + dash) for at in range(number)]
