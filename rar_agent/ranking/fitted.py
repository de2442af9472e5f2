"""From a model's answers about images of known category to how it is used: one pure function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from rar_agent.ranking.asking import Read
from rar_agent.ranking.cascade import (
    Allowed,
    Ranked,
    Retrieved,
    fit_gate,
    fit_weight,
    log_loss,
    most_lost,
)
from rar_agent.ranking.fusion import fuse
from rar_agent.ranking.order_bias import OrderBias, order_bias

FOLDS = 5
"""Parts of the answers, each judged by what was fitted on the others."""

GAIN = 0.84
"""Standard errors by which more exemplars have to come right than go wrong: 80 %, one-sided."""

PAYS = 1.645
"""Standard errors by which dividing a liking for letters out has to pay: 95 %, one-sided."""


_T = TypeVar("_T")


@dataclass(frozen=True)
class Answered:
    """What a model answered about an image of known category.

    Attributes:
        retrieval: Probabilities of the candidates that recognition shows.
        truth: Position of the right one among them; None where it is none of them.
        shares: The model's, asked as recognition asks; None where it was asked for `rotated` alone.
        read: The answers that they come from; None where they are not about all candidates at once.
        rotated: Answers about the candidates in all rotations; None where it was not asked so.
    """

    retrieval: Sequence[float]
    truth: int | None
    shares: Sequence[float] | None
    read: Read | None = None
    rotated: Read | None = None

    def ranked(self, prior: Sequence[float]) -> Ranked:
        """As recognition has it, with a liking for letters divided out."""
        shares = self.shares or ()
        if self.read is not None and prior:
            shares = self.read.shares(len(shares), prior).tolist()
        return Ranked(self.retrieval, shares, self.truth)


@dataclass(frozen=True)
class Fitted:
    """How a model is used.

    Attributes:
        weight: Exponent of its distribution.
        gate: It is asked where retrieval's probability is below.
        loss: Accuracy that not asking costs at most, as a share.
        bias: Its liking for letters; None where that was not measured.
        prior: What is divided out of its answers; empty for nothing.
        right: Of the images asked about as recognition asks: whether the final best is right, by
            a weight that was fitted on others.
        answers: Likewise, of those under the gate: the final probability of the best, and whether
            it is right.
    """

    weight: float
    gate: float
    loss: float
    bias: OrderBias | None
    prior: tuple[float, ...]
    right: tuple[bool, ...]
    answers: tuple[tuple[float, bool], ...]


def fit_cascade(answered: Sequence[Answered], retrieved: Retrieved, allowed: Allowed) -> Fitted:
    """Fit weight, gate and letters' prior.

    Args:
        answered: What the model said, of images drawn at random.
        retrieved: All images that retrieval was tried on.
        allowed: What the gate is fitted for.
    """
    bias = order_bias([one.rotated for one in answered if one.rotated is not None])
    prior = bias.prior if bias is not None and _worth_dividing(answered) else ()
    ranked = [one.ranked(prior) for one in answered if one.shares is not None]
    judged = []
    for train, test in _folds(ranked):
        other = fit_weight(train)
        judged += [(one, fuse(one.retrieval, one.ranking, other)) for one in test]
    right = [int(np.argmax(p)) == one.truth for one, p in judged]
    gains = [hit - (one.truth == 0) for (one, _), hit in zip(judged, right, strict=True)]
    # Likelier right ones are not enough: what changes as many to the worse is not worth a call.
    weight = fit_weight(ranked) if _positive(gains, GAIN) else 0.0
    gate = fit_gate(retrieved, ranked, weight, allowed)
    return Fitted(
        weight,
        gate,
        allowed.loss if allowed.asked is None else most_lost(retrieved, ranked, weight, gate),
        bias,
        prior,
        tuple(right),
        tuple(
            (max(p), hit)
            for (one, p), hit in zip(judged, right, strict=True)
            if one.retrieval[0] < gate
        ),
    )


def _worth_dividing(answered: Sequence[Answered]) -> bool:
    """Whether a prior that was found on others makes the right ones significantly likelier."""
    gains = []
    for train, test in _folds(answered):
        bias = order_bias([one.rotated for one in train if one.rotated is not None])
        asked = [one for one in train if one.shares is not None]
        if bias is None or not asked:
            return False
        plain = fit_weight([one.ranked(()) for one in asked])
        divided = fit_weight([one.ranked(bias.prior) for one in asked])
        gains += [
            log_loss(one.ranked(()), plain) - log_loss(one.ranked(bias.prior), divided)
            for one in test
            if one.shares is not None and one.truth is not None
        ]
    return _positive(gains, PAYS)


def _positive(gains: Sequence[float], errors: float) -> bool:
    """Whether the sum of gains is so many standard errors above 0."""
    found = np.array(gains, np.float64)
    return bool(found.sum() > errors * np.sqrt((found**2).sum()))


def _folds(images: Sequence[_T]) -> Iterator[tuple[list[_T], list[_T]]]:
    """Each fold's others, and itself."""
    for fold in range(FOLDS):
        test = list(images[fold::FOLDS])
        yield [one for place, one in enumerate(images) if place % FOLDS != fold], test
