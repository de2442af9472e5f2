"""Which boxes of a picture a model is asked about, where it may be asked about a few only."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rar_agent.errors import InputError


def gain_of_asking(
    probabilities: Sequence[float], shown: int, box_score: float | None = None
) -> float:
    """How much asking about a box can gain: the chance that it mends what retrieval errs in.

    The best candidate is wrong with probability 1 - p. Asking can mend that only where the right
    one is among the others that are shown, and where there is something in the box:
    min(1 - p of the best, sum of p of the others shown) times the box's score.

    Args:
        probabilities: Retrieval's, of the candidates, falling.
        shown: How many of them the model would be shown, the first ones.
        box_score: How sure the detector is that there is something, 0 to 1; None: surely.

    Returns:
        0 to 1; 0 where it would be shown fewer than two.
    """
    if not probabilities:
        return 0.0
    others = math.fsum(probabilities[1 : max(1, shown)])
    return max(0.0, min(1.0 - probabilities[0], others)) * (1.0 if box_score is None else box_score)


def choose_boxes(gains: Sequence[float | None], most: int | None) -> list[int]:
    """The boxes that a model is asked about: those where asking can gain most.

    Args:
        gains: Of each box, see `gain_of_asking`; None where the gate of the cascade skips it.
        most: Boxes of this picture that may be asked about; None sets no limit.

    Returns:
        Positions of the boxes, rising. Of equals the first ones are taken, so a larger limit only
        adds to what a smaller one chose.

    Raises:
        InputError: The limit is negative.
    """
    if most is not None and most < 0:
        raise InputError(
            f"A model cannot be asked about {most} boxes.", "Give 0 or more, or no limit."
        )
    asked = [(-gain, place) for place, gain in enumerate(gains) if gain is not None]
    return sorted(place for _, place in sorted(asked)[:most])
