"""Listwise ranking: lettered candidates, a permutation back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rar_agent.errors import ProviderError
from rar_agent.prompts import Output
from rar_agent.ranking.asking import AskingRanker, Questions, Read
from rar_agent.ranking.fusion import place_probabilities
from rar_agent.ranking.options import LETTERS
from rar_agent.ranking.parser import parse_ranking
from rar_agent.types import Candidate

if TYPE_CHECKING:
    from rar_agent.images import Picture


class ListwiseRanker(AskingRanker):
    """Asks a multimodal LLM to sort the candidates; see `AskingRanker`."""

    name = "listwise"
    unfitted_weight = 1.0  # of the odds of places, see `fusion.PLACE_ODDS`
    outputs: tuple[Output, ...] = ("ranking", "described-ranking")

    def _read(
        self, photo: Picture, candidates: Sequence[Candidate], orders: Sequence[Sequence[int]]
    ) -> Questions:
        schema = _schema(LETTERS[: len(candidates)], self._prompt.output)
        outcomes = yield [
            replace(self._question(photo, candidates, shown), schema=schema) for shown in orders
        ]
        read = Read(orders, [None] * len(orders))
        read.add(outcomes)
        for place, (shown, answer) in enumerate(zip(orders, outcomes, strict=True)):
            if isinstance(answer, ProviderError):
                read.repairs += len(shown)
                continue
            names = [(candidates[p].category.name, *candidates[p].category.aliases) for p in shown]
            parsed = parse_ranking(answer.text, names)
            read.repairs += parsed.repairs
            if parsed.options:
                read.distributions[place] = place_probabilities(parsed.options, len(shown))
        return read


def _schema(letters: Sequence[str], output: Output) -> dict[str, Any]:
    ranking = sorted_letters(letters)
    seen = {"seen": {"type": "string"}} if output == "described-ranking" else {}
    return object_of({**seen, "ranking": ranking})


def sorted_letters(letters: Sequence[str]) -> dict[str, Any]:
    """JSON schema of letters in some order."""
    # minItems and uniqueItems are not in the subset that strict servers take; the parser repairs.
    return {"type": "array", "items": {"type": "string", "enum": list(letters)}}


def object_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
