"""Boxes as a model gives them: corners, as shares of the image.

Corners, left first, are what most models were trained to name. Shares, because a model sees an
image scaled to a size that is its provider's business: its pixels, or its thousandths, cannot be
told from the image's own, so they are refused with what to do, never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from rar_agent.errors import InputError

FORM: Final = "xyxy-relative"
"""As `detection.read_boxes` calls it."""

_MOST = 20
_OUTSIDE = 0.5  # an object at the edge may reach over it by so much of the image


def _listed(given: object) -> object:
    """A list of boxes: models also say null for none, and give a single box as it is."""
    if given is None:
        return []
    one = isinstance(given, list) and given and all(isinstance(x, int | float) for x in given)
    return [given] if one else given


Boxes = Annotated[
    list[Annotated[list[float], Field(min_length=4, max_length=4)]],
    BeforeValidator(_listed),
    Field(
        max_length=_MOST,
        description="[left, top, right, bottom] of each object, as shares of the image's width "
        "and height, 0 to 1; leave out for the image as a whole.",
    ),
]
"""What a model fills in; none stands for the whole image."""


def shares(boxes: Sequence[Sequence[float]]) -> list[list[float]]:
    """Boxes that a model gave, in the form `FORM`.

    Raises:
        InputError: One is not in shares of the image, or has no area.
    """
    for number, box in enumerate(boxes, start=1):
        said = f"Box {number}, {', '.join(f'{share:g}' for share in box)},"
        if not all(-_OUTSIDE <= share <= 1 + _OUTSIDE for share in box):
            raise InputError(
                f"{said} is not in shares of the image, 0 to 1.",
                "Divide pixels by the width or height of the image as you see it, thousandths by "
                "1000, and call again.",
            )
        left, top, right, bottom = box
        if left >= right or top >= bottom:
            raise InputError(
                f"{said} has no area.",
                "Give left, top, right, bottom, in this order, or leave boxes out.",
            )
    return [list(box) for box in boxes]
