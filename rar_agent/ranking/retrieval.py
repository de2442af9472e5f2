"""The ranker for when no model is configured: the retrieval order, and it says so."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from rar_agent.types import Candidate, Ranking


class RetrievalRanker:
    """Keeps the retrieval order and its probabilities."""

    name = "retrieval"
    asks = False
    prompt_hash = ""

    def rank(self, image: Image.Image, candidates: Sequence[Candidate], seed: int) -> Ranking:  # noqa: ARG002
        """See `Ranker.rank`; never fails."""
        return retrieval_order(candidates)

    async def arank(
        self, image: Image.Image, candidates: Sequence[Candidate], seed: int
    ) -> Ranking:
        """See `Ranker.arank`."""
        return self.rank(image, candidates, seed)


def retrieval_order(candidates: Sequence[Candidate]) -> Ranking:
    """The ranking that changes nothing."""
    total = sum(candidate.probability for candidate in candidates) or 1.0
    return Ranking(
        order=tuple(range(len(candidates))),
        probabilities=tuple(candidate.probability / total for candidate in candidates),
        parse_status="not_asked",
    )
