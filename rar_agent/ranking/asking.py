"""Rankers that ask a chat model: what they share."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rar_agent.errors import BudgetError, ConfigurationError, ProviderError
from rar_agent.images import MAX_SIDE, to_picture
from rar_agent.loop import arun, run
from rar_agent.prompts import Output, Prompt
from rar_agent.ranking.options import (
    ExemplarImage,
    encoded_once,
    no_pictures,
    shown_orders,
    values_of,
)
from rar_agent.types import Candidate, ParseStatus, Ranking, Usage, sum_usage

if TYPE_CHECKING:  # the providers' packages take a second to import
    from rar_agent.images import Picture
    from rar_agent.models import Answer, ChatModel, Question

KEPT_RAW = 1_000
"""Characters of the raw answers that are kept."""

Outcomes = list["Answer | ProviderError"]

Questions = Generator[list["Question"], Outcomes, "Read"]
"""Yields questions that may be asked at the same time, gets their answers, or why there is none,
returns what they say."""

Steps = Generator[list["Question"], Outcomes, Ranking]
"""Likewise; returns the ranking."""

_T = TypeVar("_T")


@dataclass
class Read:
    """What answers about candidates in several orders say.

    Attributes:
        orders: Positions of candidates, in the order shown.
        distributions: For each order, (n,) probability of each option, that is of each letter;
            None where nothing could be read.
        repairs: What was lost, invented, repeated or said beside it.
        answers: All that were received.
        failures: Why others were not.
        worded: Places of distributions that stand for words where others are log-probabilities.
    """

    orders: Sequence[Sequence[int]]
    distributions: list[NDArray[np.float64] | None]
    repairs: int = 0
    answers: list[Answer] = field(default_factory=list)
    failures: list[ProviderError] = field(default_factory=list)
    worded: set[int] = field(default_factory=set)

    def add(self, outcomes: Outcomes) -> None:
        """Keep answers, and why there is none."""
        for outcome in outcomes:
            if isinstance(outcome, ProviderError):
                self.failures.append(outcome)
            else:
                self.answers.append(outcome)

    @property
    def usage(self) -> Usage:
        """Of all answers together."""
        return sum_usage(answer.usage for answer in self.answers)

    @property
    def status(self) -> ParseStatus:
        """How the answers could be read."""
        if all(distribution is None for distribution in self.distributions):
            return "failed"
        return "repaired" if self.repairs else "exact"

    @property
    def letters(self) -> tuple[float, ...]:
        """Share of the orders in which each letter's option came first, equals sharing.

        Empty but for two options or more in all rotations, each of which could be read.
        """
        read = [one for one in self.distributions if one is not None]
        if len(read) < len(self.orders) or not len(self.orders[0]) == len(read) > 1:
            return ()
        whole = np.stack(read)
        first = whole >= whole.max(axis=1, keepdims=True) - 1e-9
        return tuple((first / first.sum(axis=1, keepdims=True)).mean(axis=0).tolist())

    def shares(self, count: int, prior: Sequence[float] | None = None) -> NDArray[np.float64]:
        """(count,) probability of each candidate, the mean over the orders; even without any.

        Args:
            count: Of candidates.
            prior: How much the model likes each letter, whatever it stands for; divided out.
        """
        total = np.zeros(count)
        for place, shown in enumerate(self.orders):
            distribution = self.distributions[place]
            if distribution is not None:
                likely = distribution
                # Words at fixed odds do not show the liking that log-probabilities do.
                if prior and len(prior) >= len(shown) and place not in self.worded:
                    likely = distribution / prior[: len(shown)]
                total[list(shown)] += likely / likely.sum()
        if not total.any():
            return np.full(count, 1 / count)
        shares: NDArray[np.float64] = total / total.sum()
        return shares


class AskingRanker(ABC):
    """Asks a multimodal LLM. A way to rank says which questions, and what their answers mean.

    Args:
        model: The chat model; it has to take images.
        prompt: One with an output that this way can read.
        domain: What kind of categories these are.
        orders: In how many orders the candidates are shown, a call each; 0 for all rotations.
        exemplar_image: Finds the exemplars' pictures, where the prompt shows them.
        prior: How much the model likes each letter, as `order_bias` found it; None: even.
        image_side: Longest side of the image as the model sees it, in pixels.

    Raises:
        ConfigurationError: The prompt asks for another kind of answer.
    """

    name: str
    outputs: tuple[Output, ...]
    unfitted_weight: float
    """Exponent of its distribution beside retrieval's, until that is fitted."""
    asks = True

    def __init__(
        self,
        model: ChatModel,
        prompt: Prompt,
        domain: str,
        orders: int = 1,
        exemplar_image: ExemplarImage = no_pictures,
        prior: Sequence[float] | None = None,
        image_side: int = MAX_SIDE,
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
        self._exemplar_picture = encoded_once(exemplar_image)
        self._prior = prior
        self._image_side = image_side

    @property
    def model(self) -> ChatModel:
        """That is asked."""
        return self._model

    @property
    def prompt(self) -> str:
        """`name@version` of the prompt that it asks with."""
        return self._prompt.reference

    @property
    def prompt_hash(self) -> str:
        """Of the prompt that it asks with."""
        return self._prompt.sha256

    @property
    def shows_exemplars(self) -> bool:
        """Whether its prompt shows pictures of the candidates' exemplars."""
        return "picture" in self._prompt.variables

    def questions(
        self, image: Image.Image, candidates: Sequence[Candidate], seed: int
    ) -> list[Question]:
        """What `rank` would ask first, of which nothing is asked."""
        return next(self._steps(self._picture(image), candidates, seed))

    def rank(self, image: Image.Image, candidates: Sequence[Candidate], seed: int) -> Ranking:
        """See `Ranker.rank`."""
        steps = self._steps(self._picture(image), candidates, seed)
        outcomes: Outcomes | None = None
        while True:
            questions, done = _advance(steps, outcomes)
            if done is not None:
                return done
            outcomes = run(self._outcomes(questions, first=outcomes is None))

    async def arank(
        self, image: Image.Image, candidates: Sequence[Candidate], seed: int
    ) -> Ranking:
        """See `Ranker.arank`."""
        return await self._arun(image, lambda photo: self._steps(photo, candidates, seed))

    async def aread(
        self, image: Image.Image, candidates: Sequence[Candidate], orders: Sequence[Sequence[int]]
    ) -> Read:
        """Ask about candidates in given orders, and only read what is answered.

        Raises:
            ProviderError: The model could not be asked.
        """
        return await self._arun(image, lambda photo: self._read(photo, candidates, orders))

    async def _arun(
        self,
        image: Image.Image,
        begin: Callable[[Picture], Generator[list[Question], Outcomes, _T]],
    ) -> _T:
        # What is done to pictures would hold up the event loop.
        photo = await asyncio.to_thread(self._picture, image)
        steps = begin(photo)
        outcomes: Outcomes | None = None
        while True:
            questions, done = await asyncio.to_thread(_advance, steps, outcomes)
            if done is not None:
                return done
            outcomes = await arun(self._outcomes(questions, first=outcomes is None))

    async def _outcomes(self, questions: Sequence[Question], first: bool) -> Outcomes:
        """Ask questions at the same time.

        Raises:
            ProviderError: All of the first ones failed; later there is something to lose.
        """
        asking = [asyncio.ensure_future(self._ask(question)) for question in questions]
        try:
            outcomes = await asyncio.gather(*asking)
        finally:
            for one in asking:  # what is left where another went wrong
                one.cancel()
        failures = [outcome for outcome in outcomes if isinstance(outcome, ProviderError)]
        if first and len(failures) == len(outcomes):
            raise next((one for one in failures if isinstance(one, BudgetError)), failures[0])
        return outcomes

    def _steps(self, photo: Picture, candidates: Sequence[Candidate], seed: int) -> Steps:
        """Ask and conclude."""
        orders = shown_orders(len(candidates), seed, self._orders)
        read = yield from self._read(photo, candidates, orders)
        return self._ranking(read.shares(len(candidates), self._prior), read)

    def _picture(self, image: Image.Image) -> Picture:
        return to_picture(image, self._image_side)

    @abstractmethod
    def _read(
        self, photo: Picture, candidates: Sequence[Candidate], orders: Sequence[Sequence[int]]
    ) -> Questions:
        """Ask about candidates in several orders."""

    def _question(
        self, photo: Picture, candidates: Sequence[Candidate], shown: Sequence[int]
    ) -> Question:
        """The prompt about candidates in an order."""
        from rar_agent.models import Question

        values = values_of(
            self._prompt, photo, candidates, shown, self._domain, self._exemplar_picture
        )
        return Question(self._prompt.render(values), self._prompt.settings)

    def _ranking(self, shares: NDArray[np.float64], read: Read) -> Ranking:
        """A ranking by (n,) probabilities; equals stay in retrieval order."""
        said = [answer.text or f"({_silence(answer.finish)})" for answer in read.answers]
        said += [f"({failure.message})" for failure in read.failures]
        return Ranking(
            order=tuple(np.argsort(-shares, kind="stable").tolist()),
            probabilities=tuple(shares.tolist()),
            parse_status=read.status,
            repairs=read.repairs,
            worded=bool(read.worded),
            ranker=self.name,
            model=read.answers[0].model,
            prompt=self._prompt.reference,
            prompt_hash=self._prompt.sha256,
            calls=len(read.answers),
            unpaid=sum(isinstance(failure, BudgetError) for failure in read.failures),
            usage=read.usage,
            letters=read.letters,
            raw="\n".join(said)[:KEPT_RAW],
        )

    async def _ask(self, question: Question) -> Answer | ProviderError:
        try:
            return await self._model.aask(question)
        except ProviderError as error:
            return error


def _silence(finish: str) -> str:
    """Why an answer says nothing."""
    if finish in ("length", "max_tokens"):
        return "cut off before it said anything: where a model thinks first, allow more max_tokens"
    return finish or "empty answer"


def _advance(
    steps: Generator[list[Question], Outcomes, _T], outcomes: Outcomes | None
) -> tuple[list[Question], None] | tuple[list[Question], _T]:
    """The next questions, or the result."""
    try:
        return (next(steps) if outcomes is None else steps.send(outcomes)), None
    except StopIteration as done:
        return [], done.value
