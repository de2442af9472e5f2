"""Ranking by one letter: the probability of each option's letter where the answer begins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rar_agent.errors import ProviderError
from rar_agent.prompts import Output
from rar_agent.ranking.asking import AskingRanker, Questions, Read
from rar_agent.ranking.letters import chosen_distribution, letter_distribution
from rar_agent.ranking.options import LETTERS
from rar_agent.ranking.parser import parse_ranking
from rar_agent.types import Candidate

if TYPE_CHECKING:
    from rar_agent.images import Picture
    from rar_agent.models import Answer

CUT_OFTEN = 3
"""Images in a row whose answers begin otherwise, after which no log-probabilities are asked for."""

_LETTER = re.compile(r"\W*[A-Za-z]\W*")


class LetterRanker(AskingRanker):
    """Asks for the letter of one option and reads how likely each was; see `AskingRanker`.

    Where a server tells no log-probabilities, or its model thinks before it answers, the letter
    in the answer's words counts, by fixed odds.
    """

    _cut_in_a_row = 0
    unfitted_weight = 0.5  # models are surer of a letter than they are right
    outputs: tuple[Output, ...] = ("letter",)

    def _read(
        self, photo: Picture, candidates: Sequence[Candidate], orders: Sequence[Sequence[int]]
    ) -> Questions:
        letters = tuple(LETTERS[: len(orders[0])])
        questions = [
            replace(self._question(photo, candidates, shown), letters=letters) for shown in orders
        ]
        outcomes = yield questions
        read = Read(orders, [None] * len(orders))
        read.add(outcomes)
        cut = []
        for place, (shown, answer) in enumerate(zip(orders, outcomes, strict=True)):
            if isinstance(answer, ProviderError):
                read.repairs += 1
            elif not self._take(read, place, candidates, shown, answer) and answer.few_tokens:
                cut.append(place)
        self._cut_in_a_row = self._cut_in_a_row + 1 if cut else 0
        if cut:
            # It says something else first, or tells no log-probabilities: let it finish.
            if self._cut_in_a_row >= CUT_OFTEN:
                self._model.capabilities.refuse(["logprobs"])
            whole = yield [replace(questions[place], letters=()) for place in cut]
            read.add(whole)
            for place, answer in zip(cut, whole, strict=True):
                if isinstance(answer, ProviderError):
                    read.repairs += 1
                else:
                    self._take(read, place, candidates, orders[place], answer)
        return read

    def _take(
        self,
        read: Read,
        place: int,
        candidates: Sequence[Candidate],
        shown: Sequence[int],
        answer: Answer,
    ) -> bool:
        """Read an answer; whether there was anything to read."""
        found = letter_distribution(answer.tokens, LETTERS[: len(shown)])
        if found is None:
            names = [(candidates[p].category.name, *candidates[p].category.aliases) for p in shown]
            options = parse_ranking(answer.text, names).options
            read.worded.add(place)
            if options:
                found = chosen_distribution(options[0], len(shown))
            if not (_LETTER.fullmatch(answer.text) or answer.few_tokens):
                read.repairs += 1
        read.distributions[place] = found
        return found is not None


class ChoiceRanker(LetterRanker):
    """One question about all candidates; see `LetterRanker`."""

    name = "choice"
