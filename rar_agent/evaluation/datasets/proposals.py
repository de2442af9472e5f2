"""Boxes that a detector proposed, and what each of them is around."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rar_agent.detection import Box
from rar_agent.errors import DamagedDataError
from rar_agent.evaluation.dataset import NOTHING, LabelledImage

OVERLAP = 0.5
"""Share of what two boxes cover together that both have to cover, for one to be around the
other's object: PASCAL VOC's, and the least of COCO's."""
_ROUNDING = 1e-6
"""How far above 1 single precision may carry a score."""


@dataclass
class Objects:
    """What is in an image.

    Attributes:
        boxes: Left, top, width and height of each.
        categories: Position of each one's category.
    """

    boxes: list[Box] = field(default_factory=list)
    categories: list[int] = field(default_factory=list)


def proposals_of(
    given: object, file: Path, paths: Mapping[Any, str], root: Path, there: Mapping[Any, Objects]
) -> list[LabelledImage]:
    """Proposed boxes, each with what it is around.

    That is the object whose box has the greatest overlap with it, intersection over union, where
    that is at least `OVERLAP`; several boxes may be around one. Where there is none, the category
    is `NOTHING`. The category that the detector may have named is not read.

    Args:
        given: A list of results in COCO's format: `image_id`, `bbox`, and where there is one
            `score`, 0 to 1.
        file: Where it was read from, for messages.
        paths: Of the images, by id.
        root: Folder that the paths begin at.
        there: What is in the images, by id; images without anything may be left out.

    Returns:
        Those that have an area, by image in the order of `paths`, each in the given order; keys are
        `PATH#pN`, N being the place in the list, from 1.

    Raises:
        DamagedDataError: It is no such list.
    """
    if not isinstance(given, list):
        raise DamagedDataError(
            f"'{file}' is no list of results in COCO's format.",
            "Write [{image_id: …, bbox: [left, top, width, height], score: …}, …].",
        )
    of: dict[Any, list[tuple[int, Box, float | None]]] = {image: [] for image in paths}
    for number, one in enumerate(given, 1):
        try:
            left, top, width, height = map(float, one["bbox"])
            score = one.get("score")
            score = None if score is None else float(score)
            if not all(map(math.isfinite, (left, top, width, height))):
                raise ValueError("a side is not finite")
            if score is not None and not 0 <= score <= 1 + _ROUNDING:
                raise ValueError(f"its score {score} is not from 0 to 1")
            some, score = of[one["image_id"]], score and min(score, 1.0)
            if min(width, height) > 0:
                some.append((number, (left, top, width, height), score))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedDataError(
                f"'{file}': number {number} is no proposal: {error!r}.",
                "Give each an image_id of the boxes' file, a bbox, and a score from 0 to 1.",
            ) from error
    found = []
    for image, some in of.items():
        around = _around([box for _, box, _ in some], there.get(image, Objects()))
        found += [
            LabelledImage(
                f"{paths[image]}#p{number}", root / paths[image], category, box, box[2] * box[3],
                score,
            )
            for (number, box, score), category in zip(some, around, strict=True)
        ]  # fmt: skip
    return found


def _around(boxes: Sequence[Box], there: Objects) -> list[int]:
    """Category of what each box is around."""
    if not (boxes and there.boxes):
        return [NOTHING] * len(boxes)
    shared = overlaps(np.array(boxes), np.array(there.boxes))
    best = shared.argmax(axis=1)
    return [
        there.categories[at] if shared[row, at] >= OVERLAP else NOTHING
        for row, at in enumerate(best.tolist())
    ]


def overlaps(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes with boxes.

    Args:
        a: (n, 4) left, top, width and height, of some area.
        b: (m, 4) likewise.

    Returns:
        (n, m) 0 to 1.
    """
    first = np.maximum(a[:, None, :2], b[None, :, :2])
    last = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    both: NDArray[np.float64] = (last - first).clip(0).prod(axis=2)
    either = a[:, None, 2:].prod(axis=2) + b[None, :, 2:].prod(axis=2) - both
    shared: NDArray[np.float64] = both / either
    return shared
