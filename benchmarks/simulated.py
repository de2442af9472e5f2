"""Rankers that are right with a stated probability: what a cascade has to be safe with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from rar_agent.models import Answer
from rar_agent.ranking import AskingRanker
from rar_agent.ranking.asking import Read
from rar_agent.ranking.fusion import place_probabilities
from rar_agent.ranking.options import shown_orders
from rar_agent.types import Candidate, Ranking, Usage

Kind = Literal["places", "sure", "echo", "hard", "letters", "stuck"]
"""How a ranker errs, where it does:

- `places`: sorts all candidates; puts any wrong one first;
- `sure`: gives 98 % to one; any wrong one;
- `echo`: every other time it says what retrieval says, else it is `sure`;
- `hard`: `sure`, but where retrieval errs it is right half as often, and says what retrieval says;
- `letters`: likes early letters, beside what it knows, and says how likely each is;
- `stuck`: every other time it says A, else it is `sure`.
"""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Photo:
    """What a simulated ranker is shown in place of a picture.

    Attributes:
        name: The right category.
        number: Of the image; the same one is answered the same way.
    """

    name: str
    number: int


class SimulatedRanker(AskingRanker):
    """Right with a stated probability where the right candidate is shown; seeded.

    Args:
        kind: How it errs.
        accuracy: 0 (adversarial: never) to 1, before what its kind does to it.
        seed: Of its answers.
        prior: Divided out of them.
    """

    prompt = "simulated@1"
    prompt_hash = "simulated"
    shows_exemplars = False

    def __init__(self, kind: Kind, accuracy: float, seed: int, prior: Sequence[float] = ()) -> None:
        self.name = "listwise" if kind == "places" else "choice"
        self._kind, self._accuracy, self._seed, self._prior = kind, accuracy, seed, prior

    def read(
        self, image: Photo, candidates: Sequence[Candidate], orders: Sequence[Sequence[int]]
    ) -> Read:
        """What it says of a photo in words."""
        names = [candidate.category.name for candidate in candidates]
        truth = names.index(image.name) if image.name in names else None
        answer = Answer(text="A", usage=Usage(), model="simulated", finish="stop")
        said = [self._distribution(image.number, truth, order) for order in orders]
        return Read(orders, list(said), answers=[answer] * len(orders))

    async def aread(  # type: ignore[override]  # it is shown no picture
        self, image: Photo, candidates: Sequence[Candidate], orders: Sequence[Sequence[int]]
    ) -> Read:
        """See `AskingRanker.aread`; nobody is asked."""
        return self.read(image, candidates, orders)

    def rank(  # type: ignore[override]  # likewise
        self, image: Photo, candidates: Sequence[Candidate], seed: int
    ) -> Ranking:
        """See `Ranker.rank`."""
        read = self.read(image, candidates, shown_orders(len(candidates), seed, 1))
        shares = read.shares(len(candidates), self._prior)
        return Ranking(
            order=tuple(np.argsort(-shares, kind="stable").tolist()),
            probabilities=tuple(shares.tolist()),
            parse_status="exact",
        )

    def _read(self, *asked: object) -> Any:  # noqa: ANN401
        raise NotImplementedError  # nobody is asked

    def _distribution(self, number: int, truth: int | None, order: Sequence[int]) -> np.ndarray:
        """(n,) of the options, in the order shown."""
        # What it knows of an image does not change with the order; its noise does.
        random = np.random.default_rng([self._seed, int(1000 * self._accuracy), number])
        count, wrong = len(order), [p for p in range(len(order)) if p != truth]
        first = int(random.choice(wrong))
        draw, coin = random.random(2)
        accuracy = self._accuracy
        if self._kind == "hard" and truth != 0:
            accuracy, first = accuracy / 2, 0
        if truth is not None and draw < accuracy:
            first = truth
        if self._kind == "echo" and coin < 0.5:
            first = 0
        places = {position: letter for letter, position in enumerate(order)}
        if self._kind == "places":
            rest = random.permutation([p for p in range(count) if p != first]).tolist()
            return place_probabilities([places[p] for p in (first, *rest)], count)
        letter = 0 if self._kind == "stuck" and coin < 0.5 else places[first]
        if self._kind == "letters":
            noise = np.random.default_rng([self._seed, number, *order]).normal(0, 0.5, count)
            logits = noise - 1.2 * np.arange(count)
            logits[letter] += 3.0
            shares = np.exp(logits - logits.max())
        else:
            shares = np.full(count, 0.02 / count)
            shares[letter] += 0.98
        found: np.ndarray = shares / shares.sum()
        return found
