"""The contract of rankers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from rar_agent.types import Candidate, Ranking


class Ranker(Protocol):
    """Orders candidates. Implementations are thread-safe."""

    @property
    def name(self) -> str:
        """Name of the way to rank."""

    @property
    def prompt_hash(self) -> str:
        """Of the prompt that it asks with; empty where it asks nobody."""

    @property
    def asks(self) -> bool:
        """Whether it asks a model, so that skipping it saves something."""

    def rank(self, image: Image.Image, candidates: Sequence[Candidate], seed: int) -> Ranking:
        """Order the candidates.

        Args:
            image: The query, RGB.
            candidates: Distinct, in retrieval order.
            seed: Of the order in which options are shown.

        Returns:
            A permutation of exactly the candidates, with a probability for each.

        Raises:
            ProviderError: The model could not be asked.
        """

    async def arank(
        self, image: Image.Image, candidates: Sequence[Candidate], seed: int
    ) -> Ranking:
        """Like `rank`, without blocking the event loop while the model thinks."""
