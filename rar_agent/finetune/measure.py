"""How often a model puts the right option first, in the answers that it would give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rar_agent.finetune.lines import Lines
from rar_agent.prompts import Output
from rar_agent.ranking.options import LETTERS

if TYPE_CHECKING:
    from rar_agent.models.local.backend import Backend


def beginnings(output: Output, k: int) -> list[str]:
    """How an answer begins that puts each of k letters first."""
    letters = LETTERS[:k]
    if output == "letter":
        return letters
    return [json.dumps({"ranking": [letter]}).removesuffix("]}") for letter in letters]


def first_place_accuracy(
    backend: Backend, lines: Lines, output: Output, k: int, batch: int = 16
) -> float:
    """Share of conversations where the likeliest beginning of an answer is the right one.

    Scored as `local:` models are at inference: exactly, nothing is generated.

    Args:
        backend: The model.
        lines: At least one.
        output: What the prompt asks for.
        k: Options shown at most.
        batch: Conversations that go through the model at once, where answers are single tokens.
    """
    from rar_agent.models.local.score import score

    options, right = beginnings(output, k), 0
    for start in range(0, len(lines), batch):
        part = [lines[number] for number in range(start, min(start + batch, len(lines)))]
        with backend.lock:
            scores = score(
                backend,
                [line["prompt"] for line in part],
                [line["images"] for line in part],
                [options] * len(part),
            )
        for line, own in zip(part, scores, strict=True):
            answer = line["completion"][0]["content"][0]["text"]
            right += answer.startswith(options[own.index(max(own))])
    return right / len(lines)
