"""Listwise ranking: lettered candidates, a permutation back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rar_agent.prompts import Output
from rar_agent.ranking.asking import AskingRanker, Steps
from rar_agent.ranking.fusion import place_probabilities
from rar_agent.ranking.options import LETTERS, shown_orders
from rar_agent.ranking.parser import parse_ranking
from rar_agent.types import Candidate

if TYPE_CHECKING:
    from rar_agent.images import Picture
    from rar_agent.models import Answer


class ListwiseRanker(AskingRanker):
    """Asks a multimodal LLM to sort the candidates; see `AskingRanker`."""

    name = "listwise"
    outputs: tuple[Output, ...] = ("ranking", "described-ranking")

    def _steps(self, photo: Picture, candidates: Sequence[Candidate], seed: int) -> Steps:
        orders = shown_orders(len(candidates), seed, self._orders)
        schema = _schema(LETTERS[: len(candidates)], self._prompt.output)
        answers = yield [
            replace(self._question(photo, candidates, shown), schema=schema) for shown in orders
        ]
        total, read, repairs, given = np.zeros(len(candidates)), 0, 0, list["Answer"]()
        for shown, answer in zip(orders, answers, strict=True):
            if answer is None:
                repairs += len(candidates)
                continue
            given.append(answer)
            names = [(candidates[p].category.name, *candidates[p].category.aliases) for p in shown]
            parsed = parse_ranking(answer.text, names)
            repairs += parsed.repairs
            if parsed.options:
                named = [shown[option] for option in parsed.options]
                total += place_probabilities(named, len(candidates))
                read += 1
        if not read:
            even = [1 / len(candidates)] * len(candidates)
            return self._ranking(even, "failed", repairs, given)
        shares = (total / read).tolist()
        return self._ranking(shares, "repaired" if repairs else "exact", repairs, given)


def _schema(letters: Sequence[str], output: Output) -> dict[str, Any]:
    # minItems and uniqueItems are not in the subset that strict servers take; the parser repairs.
    ranking = {"type": "array", "items": {"type": "string", "enum": list(letters)}}
    properties: dict[str, Any] = {"ranking": ranking}
    if output == "described-ranking":
        properties = {"seen": {"type": "string"}, "ranking": ranking}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
