"""How sure a detection is, and which of several boxes around one object are left out."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import InputError
from rar_agent.types import Box


def fused(probability: float, box_score: float | None, weight: float = 1.0) -> float:
    """How sure it is that a box holds a category: probability * box_score ** weight.

    With weight 1 it is P(category, object) = P(category | object) P(object), as two-stage
    detectors are read in Zhou, Koltun & Krähenbühl, "Probabilistic two-stage detection" (2021),
    and stays a probability where both are. RegionCLIP and Detic take the geometric mean,
    (probability * box_score) ** 0.5: it has the same order, so the same average precision, but
    overstates. Any other mean p ** a * s ** (1 - a) has the order of weight (1 - a) / a.

    Args:
        probability: Of the category, where there is an object; 0 to 1.
        box_score: How sure the detector is that there is one, 0 to 1; None where nobody said, as
            of boxes that people drew: they hold an object.
        weight: At least 0, which leaves the box's score out of it.

    Returns:
        0 to 1.

    Raises:
        InputError: The weight is negative, or no number.
    """
    if not 0 <= weight < math.inf:
        raise InputError(
            f"{weight} is no weight of the boxes' scores.",
            "Give 1, or 0 to leave them out.",
        )
    return probability if box_score is None else probability * box_score**weight


def suppress(
    boxes: Sequence[Box] | NDArray[np.float64],
    scores: Sequence[float] | NDArray[np.float64],
    categories: Sequence[Hashable],
    iou: float,
) -> list[int]:
    """Leave out boxes that overlap a surer one of the same category (non-maximum suppression).

    Args:
        boxes: (n, 4) left, top, width and height, in pixels.
        scores: (n,) how sure each is; of equally sure ones the earlier comes first.
        categories: (n,) what each holds; boxes of different ones leave each other alone.
        iou: Share of what two boxes cover together that both cover, 0 to 1: above it, the less
            sure one is left out.

    Returns:
        Positions of those that are kept, surest first.

    Raises:
        InputError: `iou` is not from 0 to 1, the lengths differ, or a number is not finite.
    """
    if not 0 <= iou <= 1:
        raise InputError(f"{iou} is no overlap of two boxes.", "Give a number from 0 to 1.")
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    sure = np.asarray(scores, dtype=np.float64)
    if not len(corners) == len(sure) == len(categories):
        raise InputError(
            f"There are {len(corners)} boxes, {len(sure)} scores and {len(categories)} categories.",
            "Give one score and one category for each box.",
        )
    if not (np.isfinite(corners).all() and np.isfinite(sure).all()):
        raise InputError("A box or a score is not a finite number.", "Leave such boxes out.")
    if not len(corners):
        return []
    import torch
    from torchvision.ops import batched_nms

    corners[:, 2:] += corners[:, :2]
    corners -= corners.min()  # batched_nms moves categories apart, and takes it that none is < 0
    places: dict[Hashable, int] = {}
    groups = np.array([places.setdefault(one, len(places)) for one in categories])
    order = np.argsort(-sure, kind="stable")
    ranks = np.arange(len(order), 0, -1, dtype=np.float64)  # in place of scores: without ties
    kept = batched_nms(
        torch.from_numpy(corners[order]),
        torch.from_numpy(ranks),
        torch.from_numpy(groups[order]),
        iou,
    )
    return [int(at) for at in order[kept.numpy()]]
