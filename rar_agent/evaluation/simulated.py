"""A ranker that is right with a stated probability: for harnesses without a model, marked so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from rar_agent.errors import InputError
from rar_agent.ranking.fusion import place_probabilities
from rar_agent.types import Candidate, Ranking

PREFIX = "simulated:"


class SimulatedRanker:
    """Puts the truth first with a stated probability, where it is among the candidates.

    Else it puts any wrong candidate first, as one that knows nothing of retrieval would; the others
    follow in any order. The same image is answered the same way.

    Args:
        name: `simulated:0.8`.

    Raises:
        InputError: The accuracy is not between 0 and 1.

    Attributes:
        truths: Names by the seed that an image is ranked with; see `Services.order_seed`.
    """

    name = "listwise"
    asks = True
    prompt_hash = "simulated"

    def __init__(self, name: str) -> None:
        self.model = name
        self.truths: dict[int, str] = {}
        try:
            self._accuracy = float(name.removeprefix(PREFIX))
        except ValueError:
            self._accuracy = -1.0
        if not 0 <= self._accuracy <= 1:
            raise InputError(f"'{name}' has no accuracy.", "Write simulated:0.8, say.")

    def rank(self, image: Image.Image, candidates: Sequence[Candidate], seed: int) -> Ranking:  # noqa: ARG002
        """See `Ranker.rank`; nobody is asked."""
        names = [candidate.category.name for candidate in candidates]
        random = np.random.default_rng([seed, int(1000 * self._accuracy)])
        truth = names.index(self.truths[seed]) if self.truths[seed] in names else None
        wrong = [position for position in range(len(names)) if position != truth]
        right = truth is not None and (random.random() < self._accuracy or not wrong)
        first = truth if right and truth is not None else int(random.choice(wrong))
        rest = random.permutation([p for p in range(len(names)) if p != first]).tolist()
        order = (first, *rest)
        return Ranking(
            order=order,
            probabilities=tuple(place_probabilities(order, len(names)).tolist()),
            parse_status="exact",
            ranker=self.name,
            model=self.model,
            prompt="simulated@1",
            prompt_hash=self.prompt_hash,
        )

    async def arank(
        self, image: Image.Image, candidates: Sequence[Candidate], seed: int
    ) -> Ranking:
        """See `Ranker.arank`."""
        return self.rank(image, candidates, seed)
