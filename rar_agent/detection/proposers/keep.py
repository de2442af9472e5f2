"""Which of a detector's boxes are kept, and in which order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from rar_agent.detection.proposal import Proposal
from rar_agent.detection.scores import suppress
from rar_agent.errors import InputError


@dataclass(frozen=True)
class Limits:
    """How many boxes, and which.

    Attributes:
        most: Boxes of an image, at least 1; COCO's tools count 100, LVIS's 300.
        least: Boxes must score more, 0 to 1; None: than the detector's own threshold, because
            what a score is worth differs from detector to detector.
        iou: Of two boxes that overlap by a greater share of what they cover together, the surer
            one is kept, whatever the detector calls them, since one crop is named once; None: both
            are. Above 0.7 they are nearly always one thing under two names; two things that stand
            behind each other seldom overlap as much.

    Raises:
        InputError: A number is out of its range.
    """

    most: int = 100
    least: float | None = None
    iou: float | None = 0.7

    def __post_init__(self) -> None:
        if self.most < 1:
            raise InputError(f"{self.most} is no number of boxes.", "Give 1 or more.")
        for what, value in (("score", self.least), ("overlap of two boxes", self.iou)):
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"{value} is no {what}.", "Give a number from 0 to 1.")


def keep(
    proposals: Iterable[Proposal], size: tuple[int, int], limits: Limits | None = None
) -> list[Proposal]:
    """Cut boxes at the image's edge, order them and leave out what is too many.

    Args:
        proposals: In any order; those without a score come last.
        size: The image's width and height, in pixels.
        limits: Default: `Limits()`.

    Returns:
        Surest first, equally sure ones by box and name. What is not in the image is left out.
    """
    limits = limits or Limits()
    inside = [one for proposal in proposals if (one := _within(proposal, *size))]
    sure = sorted(
        (one for one in inside if limits.least is None or _score(one) > limits.least),
        key=lambda one: (-_score(one), one.box, one.name, one.id),
    )
    if limits.iou is not None:
        boxes = [one.box for one in sure]
        kept = suppress(boxes, [_score(one) for one in sure], [0] * len(sure), limits.iou)
        sure = [sure[at] for at in kept]
    return sure[: limits.most]


def _score(proposal: Proposal) -> float:
    return 0.0 if proposal.score is None else proposal.score


def _within(proposal: Proposal, width: int, height: int) -> Proposal | None:
    left, top, wide, high = proposal.box
    if not math.isfinite(sum((*proposal.box, _score(proposal)))):
        return None
    box = (
        max(left, 0.0),
        max(top, 0.0),
        min(left + wide, float(width)),
        min(top + high, float(height)),
    )
    if not (box[0] < box[2] and box[1] < box[3]):
        return None
    return replace(proposal, box=(box[0], box[1], box[2] - box[0], box[3] - box[1]))
