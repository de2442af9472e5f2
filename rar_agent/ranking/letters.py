"""From the first token's log-probabilities to a distribution over lettered options."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

LEAST = 0.1
"""Under this share of the probability nothing is read: the model would rather say other things."""

_NEVER_SURE = 1e-9

CHOSEN_ODDS = 3.0
"""Odds that a letter in words, without log-probabilities, is taken to give over each other one."""


def letter_distribution(
    tokens: Sequence[Mapping[str, float]], letters: Sequence[str]
) -> NDArray[np.float64] | None:
    """Probability of each letter as the answer, given that it is one of them.

    Spellings of a letter (`B`, ` b`, `(B`) are added up. Letters that are not among the
    alternatives that a server tells get the most they can have: not more than the least of those,
    nor together more than what is left. The first token that says anything counts: after a word,
    an "a" is an article.

    Args:
        tokens: Log-probabilities of each token of the answer and of its alternatives.
        letters: Of the options, in the order shown.

    Returns:
        (n,) that sums to 1, or None where the answer does not begin with a letter.
    """
    token = next((one for one in tokens if one and _strip(max(one, key=lambda t: one[t]))), None)
    if token is None:
        return None
    shares = _shares(token, letters)
    if shares.sum() < LEAST:
        return None
    best = _filled(shares, token)
    floored = np.maximum(best, _NEVER_SURE * best.sum())
    distribution: NDArray[np.float64] = floored / floored.sum()
    return distribution


def chosen_distribution(chosen: int, count: int) -> NDArray[np.float64]:
    """What a choice in words is taken to say: `CHOSEN_ODDS` over each other option.

    Args:
        chosen: Place of the chosen option.
        count: Of options.
    """
    weights = np.ones(count)
    weights[chosen] = CHOSEN_ODDS
    distribution: NDArray[np.float64] = weights / weights.sum()
    return distribution


def _strip(token: str) -> str:
    return token.strip(" \t\n\"'`*().:[]<>▁Ġ")


def _shares(token: Mapping[str, float], letters: Sequence[str]) -> NDArray[np.float64]:
    shares = np.zeros(len(letters))
    for text, logprob in token.items():
        letter = _strip(text).upper()
        if letter in letters and not math.isnan(logprob):
            shares[letters.index(letter)] += math.exp(min(logprob, 0.0))
    return shares


def _filled(shares: NDArray[np.float64], token: Mapping[str, float]) -> NDArray[np.float64]:
    missing = shares == 0
    if not missing.any():
        return shares
    known = [math.exp(min(logprob, 0.0)) for logprob in token.values() if not math.isnan(logprob)]
    left = max(1.0 - sum(known), 0.0) / missing.sum()
    filled: NDArray[np.float64] = np.where(missing, min(*known, left), shares)
    return filled
