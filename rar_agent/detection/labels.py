"""Labels of boxes on an image: what they say, in which font, and where they go."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from rar_agent.types import Detection

Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom in whole pixels; right and bottom are outside."""
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

LEAST_LETTER = 10
"""Height in pixels of the smallest letters that are drawn."""
_FALLBACKS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "PingFang.ttc",
    "arial.ttf",
    "msyh.ttc",
)
"""Fonts of systems, for names with letters that Pillow's own lacks, as it does all accents."""
_SMALL = 8
"""Area in labels below which a box is kept free of others' labels."""


@dataclass(frozen=True)
class Label:
    """A line of text on a plate.

    Attributes:
        text: What it says.
        font: Of this height.
        letter: Height of its letters in pixels.
    """

    text: str
    font: _Font
    letter: int

    @property
    def pad(self) -> int:
        """Pixels between the plate's edge and the text."""
        return max(2, self.letter // 4)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the plate, in pixels."""
        wide = math.ceil(self.font.getlength(self.text))
        return wide + 2 * self.pad, round(1.2 * self.letter) + self.pad

    def draw(self, pen: ImageDraw.ImageDraw, plate: Rectangle, colour: str, ink: str) -> None:
        """Draw it on a plate of a colour, in ink."""
        left, top, right, bottom = plate
        hair = max(1, self.letter // 14)
        pen.rounded_rectangle((left, top, right - 1, bottom - 1), self.pad, colour, ink, hair)
        middle = (left + self.pad, (top + bottom) / 2)
        pen.text(middle, self.text, ink, self.font, anchor="lm")


def label_of(detection: Detection, size: tuple[int, int], letter: int) -> Label:
    """Name and score; of an abstained box a question mark, with the branch where that is sure.

    Args:
        detection: Whose label it is.
        size: Width and height of the image in pixels: names are cut where they are wider than the
            box and than a third of the image.
        letter: Height of the letters in pixels.
    """
    name, after = _words(detection)
    name = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    name, font = _lettering(name, letter)
    room = max(size[0] / 3, min(detection.box[2], size[0])) - letter
    while len(name) > 1 and font.getlength(f"{name} {after}") > room:
        name = name[:-2].rstrip(" …") + "…"
    return Label(f"{name} {after}".strip(), font, letter)


def _words(detection: Detection) -> tuple[str, str]:
    if detection.recognition is None:
        return "", "failed"
    if detection.label is None:
        branch = detection.recognition.branch
        return branch.name if branch else "", "?"
    return detection.label, f"{100 * detection.score:.0f} %"


def _lettering(text: str, letter: int) -> tuple[str, _Font]:
    """A font that has the text's letters; else Pillow's own, and the text without accents."""
    for name in ("", *_FALLBACKS):
        font = _font(name, letter)
        if font and not any(_lacks(name, c) for c in set(text)):
            return text, font
    parts = unicodedata.normalize("NFKD", text)
    own = ImageFont.load_default(letter)
    return "".join(c for c in parts if not unicodedata.combining(c)), own


@lru_cache(64)
def _font(name: str, size: int) -> _Font | None:
    """A system's font, None where it has none of that name; without a name, Pillow's own."""
    if not name:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@lru_cache(10_000)
def _lacks(name: str, character: str) -> bool:
    font = _font(name, 16)
    assert font is not None  # noqa: S101 - asked of fonts that there are
    return bytes(font.getmask(character)) == bytes(font.getmask("\U0010ffff"))  # which none has


def place(
    frames: Sequence[Rectangle], labels: Sequence[Label], size: tuple[int, int]
) -> tuple[list[Rectangle], float]:
    """Where labels go: at their frames, and away from each other and from small boxes.

    Args:
        frames: Of the boxes, the largest first.
        labels: One for each.
        size: Width and height of the image, in pixels.

    Returns:
        A rectangle of each label's size, in the image unless it is too small for it; and how many
        pixels of labels others hide.
    """
    plates, places = np.zeros((len(labels), 4)), np.arange(len(labels))
    boxes = np.array(frames, dtype=np.float64).reshape(-1, 4)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    hidden = 0.0
    for at in reversed(places):  # the smallest first: they have the least room
        wide, high = labels[at].size
        spots = _spots(frames[at], wide, high, size)
        others = _overlap(spots, plates[at + 1 :])
        small = _overlap(spots, boxes[(areas < _SMALL * wide * high) & (places != at)])
        cost = (3 * others + small) / (wide * high) + 0.01 * np.arange(len(spots))
        best = int(cost.argmin())
        plates[at] = spots[best]
        hidden += float(others[best])
    return [(a, b, c, d) for a, b, c, d in plates.astype(int).tolist()], hidden


def _spots(frame: Rectangle, wide: int, high: int, size: tuple[int, int]) -> NDArray[np.float64]:
    """(14, 4) rectangles for a label, the likeliest to be seen as the frame's first."""
    left, top, right, bottom = frame
    middle = (left + right - wide) // 2
    places = [
        (left, top - high),
        (left, bottom),
        (right - wide, top - high),
        (right - wide, bottom),
        (middle, top - high),
        (middle, bottom),
        (left, top),
        (right, top),
        (left - wide, top),
        (right, bottom - high),
        (left - wide, bottom - high),
        (right - wide, top),
        (left, bottom - high),
        (right - wide, bottom - high),
    ]
    corners = np.clip(places, 0, np.maximum(0, np.subtract(size, (wide, high))))
    return np.hstack([corners, np.add(corners, (wide, high))]).astype(np.float64)


def _overlap(spots: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """(spots,) area in pixels that each shares with all others."""
    reached = (others[:, :2] < spots[:, 2:].max(0)) & (others[:, 2:] > spots[:, :2].min(0))
    near = others[reached.all(axis=1)]
    most = np.minimum(spots[:, None, 2:], near[None, :, 2:])
    sides = np.clip(most - np.maximum(spots[:, None, :2], near[None, :, :2]), 0, None)
    return np.asarray(sides.prod(axis=2).sum(axis=1), dtype=np.float64)
