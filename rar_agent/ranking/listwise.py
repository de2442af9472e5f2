"""Listwise ranking: one call, one image, lettered candidates, a permutation back."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from rar_agent.images import to_data_uri
from rar_agent.prompts import Prompt
from rar_agent.ranking.fusion import place_probabilities
from rar_agent.ranking.parser import LETTERS, parse_ranking
from rar_agent.types import Candidate, Ranking

if TYPE_CHECKING:  # the providers' packages take a second to import
    from rar_agent.models import Answer, ChatModel

KEPT_RAW = 1_000
"""Characters of the raw answer that are kept."""


class ListwiseRanker:
    """Asks a multimodal LLM to sort the candidates.

    Options are shown in an order drawn from the seed, not in retrieval's: a model's liking for
    the first option then favours nobody, and retrieval's opinion enters by fusion alone.

    Args:
        model: The chat model; it has to take images.
        prompt: A prompt named `rank`.
        domain: What kind of categories these are.
    """

    name = "listwise"
    asks = True

    def __init__(self, model: ChatModel, prompt: Prompt, domain: str) -> None:
        self._model = model
        self._prompt = prompt
        self._domain = domain or "closely related categories"

    def rank(self, image: Image.Image, candidates: Sequence[Candidate], seed: int) -> Ranking:
        """See `Ranker.rank`."""
        shown = _shown_order(len(candidates), seed)
        return self._ranking(
            candidates, shown, self._model.ask(*self._ask(image, candidates, shown))
        )

    async def arank(
        self, image: Image.Image, candidates: Sequence[Candidate], seed: int
    ) -> Ranking:
        """See `Ranker.arank`."""
        shown = _shown_order(len(candidates), seed)
        answer = await self._model.aask(*self._ask(image, candidates, shown))
        return self._ranking(candidates, shown, answer)

    def _ask(
        self, image: Image.Image, candidates: Sequence[Candidate], shown: Sequence[int]
    ) -> tuple[str, str, str, dict[str, Any]]:
        letters = LETTERS[: len(shown)]
        options = []
        for letter, position in zip(letters, shown, strict=True):
            category = candidates[position].category
            options.append(
                {
                    "letter": letter,
                    "name": category.name,
                    "aliases": ", ".join(category.aliases),
                    "description": category.description,
                }
            )
        example = random.Random(len(letters)).sample(letters, len(letters))
        system, text = self._prompt.render(
            {
                "domain": self._domain,
                "count": len(options),
                "options": options,
                "example": json.dumps(example)[1:-1],
            }
        )
        return system, text, to_data_uri(image), _schema(letters)

    def _ranking(
        self, candidates: Sequence[Candidate], shown: Sequence[int], answer: Answer
    ) -> Ranking:
        names = [(candidates[p].category.name, *candidates[p].category.aliases) for p in shown]
        parsed = parse_ranking(answer.text, names)
        named = [shown[option] for option in parsed.options]
        order = (*named, *(p for p in range(len(candidates)) if p not in named))
        return Ranking(
            order=order,
            probabilities=place_probabilities(order),
            parse_status=parsed.status,
            repairs=parsed.repairs,
            ranker=self.name,
            model=answer.model,
            prompt=self._prompt.reference,
            prompt_hash=self._prompt.sha256,
            usage=answer.usage,
            raw=answer.text[:KEPT_RAW] or f"({answer.finish or 'empty answer'})",
        )


def _shown_order(count: int, seed: int) -> list[int]:
    return random.Random(seed).sample(range(count), count)


def _schema(letters: Sequence[str]) -> dict[str, Any]:
    # minItems and uniqueItems are not in the subset that strict servers take; the parser repairs.
    return {
        "type": "object",
        "properties": {
            "ranking": {"type": "array", "items": {"type": "string", "enum": list(letters)}}
        },
        "required": ["ranking"],
        "additionalProperties": False,
    }
