"""Ranking by pairs: a small tournament of the likeliest candidates, each pair in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from rar_agent.ranking.asking import Steps
from rar_agent.ranking.choice import LetterRanker
from rar_agent.types import Candidate

if TYPE_CHECKING:
    from rar_agent.images import Picture

FINALISTS = 3
"""Candidates that meet each other: three pairs, six calls."""


class PairwiseRanker(LetterRanker):
    """Asks about each pair of retrieval's first `FINALISTS`, in both orders; see `LetterRanker`.

    The log-odds of a pair are the mean of both orders, in which a constant liking for a letter
    cancels. A candidate's strength is the mean of its log-odds against the others (the
    least-squares fit of Bradley and Terry's model). Candidates that met nobody keep the share of
    an even distribution, which leaves their place to retrieval.
    """

    name = "pairwise"

    def _steps(self, photo: Picture, candidates: Sequence[Candidate], seed: int) -> Steps:  # noqa: ARG002 - each order is asked
        count = min(FINALISTS, len(candidates))
        pairs = list(combinations(range(count), 2))
        orders = [order for one, two in pairs for order in ((one, two), (two, one))]
        read = yield from self._read(photo, candidates, orders)
        odds, met = np.zeros((count, count)), np.zeros((count, count))
        for (one, two), distribution in zip(orders, read.distributions, strict=True):
            if distribution is not None:
                difference = float(np.log(distribution[0]) - np.log(distribution[1]))
                odds[one, two] += difference
                odds[two, one] -= difference
                met[one, two] += 1
                met[two, one] += 1
        strength = np.divide(odds, met, out=np.zeros_like(odds), where=met > 0).mean(axis=1)
        shares = np.full(len(candidates), 1 / len(candidates))
        finalists = np.exp(strength - strength.max())
        shares[:count] = finalists / finalists.sum() * count / len(candidates)
        return self._ranking(shares, read)
