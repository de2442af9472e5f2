"""How much a model's answer depends on where an option stands, and what takes that out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rar_agent.ranking.asking import Read

_FLOOR = 1e-6


@dataclass(frozen=True)
class OrderBias:
    """What was found on images asked about in all rotations of their candidates.

    Attributes:
        bias: 0 to 1: how far the letters' shares of first places are from even, as a share of the
            farthest. 0: no letter is liked; 1: it is always the same letter.
        prior: Share of each letter, by letter; sums to 1.
        images: How many it was found on.
    """

    bias: float
    prior: tuple[float, ...]
    images: int


def order_bias(reads: Sequence[Read]) -> OrderBias | None:
    """Estimate a model's liking for letters.

    Over all rotations each candidate stands once at each letter, so that what is shown cancels:
    the bias is the total variation between the letters' shares of first places and even ones. The
    prior is PriDe's (Zheng et al. 2023, arXiv 2309.03882): the softmax of the letters' mean
    log-probabilities, over rotations and images.

    Args:
        reads: Of images; those with all rotations of the largest number of candidates count.

    Returns:
        None where no image has all its rotations read.
    """
    count = max((len(read.letters) for read in reads), default=0)
    if not count:
        return None
    known = [read for read in reads if len(read.letters) == count]
    whole = [np.stack([d for d in read.distributions if d is not None]) for read in known]
    shares = np.mean([read.letters for read in known], axis=0)
    apart = 0.5 * np.abs(shares - 1 / count).sum() / (1 - 1 / count)
    logs = np.mean([np.log(np.maximum(one, _FLOOR)).mean(axis=0) for one in whole], axis=0)
    prior = np.exp(logs - logs.max())
    return OrderBias(float(apart), tuple((prior / prior.sum()).tolist()), len(whole))
