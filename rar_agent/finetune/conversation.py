"""One ranking conversation: what inference would ask, and the answer that it wants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image

from rar_agent.errors import ConfigurationError
from rar_agent.prompts import Message, Prompt
from rar_agent.ranking import AskingRanker, PairwiseRanker
from rar_agent.ranking.options import LETTERS, shown_orders
from rar_agent.types import Candidate


@dataclass(frozen=True)
class Conversation:
    """A question with its answer.

    Attributes:
        messages: As inference sends them.
        answer: As the prompt wants it.
    """

    messages: tuple[Message, ...]
    answer: str


def check_answerable(prompt: Prompt) -> None:
    """Refuse a prompt whose answers nobody knows.

    Raises:
        ConfigurationError: It asks for a description of what is seen.
    """
    if prompt.output == "described-ranking":
        raise ConfigurationError(
            f"Prompt {prompt.reference} asks for a description of what is seen, which no memory "
            "holds.",
            "Take one that asks for a ranking or a letter, such as rank@1 or choice@1.",
        )


def converse(
    ranker: AskingRanker,
    prompt: Prompt,
    image: Image.Image,
    candidates: Sequence[Candidate],
    truth: int,
    seed: int,
) -> Conversation:
    """What a ranker asks about an image, answered.

    Args:
        ranker: That shows its candidates in one order a question.
        prompt: That it asks with.
        image: RGB.
        candidates: In retrieval order.
        truth: Position of the right one.
        seed: Of the order of the options.
    """
    questions = ranker.questions(image, candidates, seed)
    if isinstance(ranker, PairwiseRanker):  # asks in both orders
        orders = [[0, 1], [1, 0]]
    else:
        orders = shown_orders(len(candidates), seed, 1)
    drawn = Random(seed).randrange(len(orders))
    letters = {position: LETTERS[place] for place, position in enumerate(orders[drawn])}
    if prompt.output == "letter":
        answer = letters[truth]
    else:
        best_first = [truth, *(p for p in range(len(candidates)) if p != truth)]
        answer = json.dumps({"ranking": [letters[position] for position in best_first]})
    return Conversation(tuple(questions[drawn].messages), answer)
