"""Rankers that ask a chat model: what they share."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from PIL import Image

from rar_agent.errors import ConfigurationError, ProviderError
from rar_agent.images import to_picture
from rar_agent.prompts import Output, Prompt
from rar_agent.ranking.options import ExemplarImage, no_pictures, values_of
from rar_agent.types import Candidate, ParseStatus, Ranking, Usage

if TYPE_CHECKING:  # the providers' packages take a second to import
    from rar_agent.images import Picture
    from rar_agent.models import Answer, ChatModel, Question

KEPT_RAW = 1_000
"""Characters of the raw answers that are kept."""

_AT_ONCE = 8

Steps = Generator[list["Question"], list["Answer | None"], Ranking]
"""Yields questions that may be asked at the same time, gets their answers (None where one failed),
returns the ranking."""


class AskingRanker(ABC):
    """Asks a multimodal LLM. A way to rank says which questions, and what their answers mean.

    Args:
        model: The chat model; it has to take images.
        prompt: One with an output that this way can read.
        domain: What kind of categories these are.
        orders: In how many orders the candidates are shown, a call each; 0 for all rotations.
        exemplar_image: Finds the exemplars' pictures, where the prompt shows them.

    Raises:
        ConfigurationError: The prompt asks for another kind of answer.
    """

    name: str
    outputs: tuple[Output, ...]
    asks = True

    def __init__(
        self,
        model: ChatModel,
        prompt: Prompt,
        domain: str,
        orders: int = 1,
        exemplar_image: ExemplarImage = no_pictures,
    ) -> None:
        if prompt.output not in self.outputs:
            raise ConfigurationError(
                f"Prompt {prompt.reference} asks for a {prompt.output}, which ranker "
                f"'{self.name}' cannot read.",
                f"Take one that asks for a {' or '.join(self.outputs)}.",
            )
        self._model = model
        self._prompt = prompt
        self._domain = domain
        self._orders = orders
        self._exemplar_image = exemplar_image

    def rank(self, image: Image.Image, candidates: Sequence[Candidate], seed: int) -> Ranking:
        """See `Ranker.rank`."""
        steps = self._steps(to_picture(image), candidates, seed)
        questions = next(steps)
        while True:
            with ThreadPoolExecutor(min(_AT_ONCE, len(questions))) as pool:
                outcomes = list(pool.map(self._ask, questions))
            try:
                questions = steps.send(_answers(outcomes))
            except StopIteration as done:
                ranking: Ranking = done.value
                return ranking

    async def arank(
        self, image: Image.Image, candidates: Sequence[Candidate], seed: int
    ) -> Ranking:
        """See `Ranker.arank`."""
        steps = self._steps(to_picture(image), candidates, seed)
        questions = next(steps)
        while True:
            outcomes = await asyncio.gather(*map(self._aask, questions))
            try:
                questions = steps.send(_answers(outcomes))
            except StopIteration as done:
                ranking: Ranking = done.value
                return ranking

    @abstractmethod
    def _steps(self, photo: Picture, candidates: Sequence[Candidate], seed: int) -> Steps:
        """Ask and conclude."""

    def _question(
        self, photo: Picture, candidates: Sequence[Candidate], shown: Sequence[int]
    ) -> Question:
        """The prompt about candidates in an order."""
        from rar_agent.models import Question

        values = values_of(
            self._prompt, photo, candidates, shown, self._domain, self._exemplar_image
        )
        return Question(self._prompt.render(values), self._prompt.settings)

    def _ranking(
        self,
        probabilities: Sequence[float],
        status: ParseStatus,
        repairs: int,
        answers: Sequence[Answer],
    ) -> Ranking:
        """A ranking by probability; equals stay in retrieval order."""
        order = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])
        raw = "\n".join(answer.text or f"({answer.finish or 'empty answer'})" for answer in answers)
        return Ranking(
            order=tuple(order),
            probabilities=tuple(probabilities),
            parse_status=status,
            repairs=repairs,
            ranker=self.name,
            model=answers[0].model,
            prompt=self._prompt.reference,
            prompt_hash=self._prompt.sha256,
            calls=len(answers),
            usage=Usage(
                input_tokens=sum(answer.usage.input_tokens for answer in answers),
                output_tokens=sum(answer.usage.output_tokens for answer in answers),
            ),
            raw=raw[:KEPT_RAW],
        )

    def _ask(self, question: Question) -> Answer | ProviderError:
        try:
            return self._model.ask(question)
        except ProviderError as error:
            return error

    async def _aask(self, question: Question) -> Answer | ProviderError:
        try:
            return await self._model.aask(question)
        except ProviderError as error:
            return error


def _answers(outcomes: Sequence[Answer | ProviderError]) -> list[Answer | None]:
    """Answers, None for those that failed.

    Raises:
        ProviderError: All failed.
    """
    answers = [None if isinstance(o, ProviderError) else o for o in outcomes]
    failures = [outcome for outcome in outcomes if isinstance(outcome, ProviderError)]
    if len(failures) == len(outcomes):
        raise failures[0]
    return answers
