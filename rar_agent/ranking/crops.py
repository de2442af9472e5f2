"""Ranking several crops of one picture in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image

from rar_agent.errors import ConfigurationError, InputError, ProviderError
from rar_agent.images import MAX_SIDE
from rar_agent.loop import arun, run
from rar_agent.prompts import Prompt
from rar_agent.ranking.asking import Read
from rar_agent.ranking.crop_answers import parse_crops
from rar_agent.ranking.fusion import place_probabilities
from rar_agent.ranking.listwise import ListwiseRanker, object_of, sorted_letters
from rar_agent.ranking.options import (
    LETTERS,
    ExemplarImage,
    no_pictures,
    shown_orders,
    values_of_crops,
)
from rar_agent.ranking.parser import Parsed
from rar_agent.types import Candidate, Ranking, Usage

if TYPE_CHECKING:
    from rar_agent.images import Picture
    from rar_agent.models import Answer, ChatModel, Question

TOGETHER = 6
"""Crops that are shown in one call, where the model's server takes as many."""

_T = TypeVar("_T")

Crop = tuple[Image.Image, Sequence[Candidate], int]
"""RGB, its candidates in retrieval order, and the seed of the order in which they are shown."""

Outcome = Ranking | ProviderError


class CropsRanker(ListwiseRanker):
    """Asks a multimodal LLM to sort the candidates of each of several crops of one picture.

    One crop alone is asked about with the prompt for one, as `ListwiseRanker` does it. So are all
    crops where there is no prompt for several, or the prompt for one shows exemplars, or several
    orders are wanted: these are not for several crops a call.

    How many pictures a server takes, and at which size, is learnt from its refusals and kept with
    its model's `Capabilities`: then no more crops are shown in one call.

    Args:
        model: The chat model; it has to take images.
        prompt: For one crop.
        domain: What kind of categories these are.
        orders: In how many orders the candidates of one crop are shown, a call each.
        exemplar_image: Finds the exemplars' pictures, where the prompt for one shows them.
        prior: How much the model likes each letter, as found with the prompt for one.
        image_side: Longest side of a crop as the model sees it, in pixels.
        several: The prompt for several crops, with output `rankings`; None: none.
        together: Crops in one call at most, from 1.

    Raises:
        ConfigurationError: A prompt asks for another kind of answer.
        InputError: Fewer than one crop in a call.
    """

    def __init__(
        self,
        model: ChatModel,
        prompt: Prompt,
        domain: str,
        orders: int = 1,
        exemplar_image: ExemplarImage = no_pictures,
        prior: Sequence[float] | None = None,
        image_side: int = MAX_SIDE,
        several: Prompt | None = None,
        together: int = TOGETHER,
    ) -> None:
        super().__init__(model, prompt, domain, orders, exemplar_image, prior, image_side)
        if several is not None and several.output != "rankings":
            raise ConfigurationError(
                f"Prompt {several.reference} asks for a {several.output}, not for rankings of "
                "several crops.",
                "Take one that asks for rankings, such as rank-crops@1.",
            )
        if together < 1:
            raise InputError(f"{together} crops cannot be shown in a call.", "Give 1 or more.")
        self._several = several or prompt
        self._together = 1 if several is None or orders != 1 or self.shows_exemplars else together

    @property
    def together(self) -> int:
        """Crops in one call at most, as far as nothing is known against it."""
        return self._together

    def rank_all(
        self,
        images: Sequence[Image.Image],
        candidates: Sequence[Sequence[Candidate]],
        seeds: Sequence[int],
    ) -> list[Outcome]:
        """Order the candidates of each crop.

        Args:
            images: The crops, RGB.
            candidates: Of each crop, distinct, in retrieval order.
            seeds: Of each crop, of the order in which its options are shown.

        Returns:
            Of each crop, in order, a permutation of exactly its candidates with a probability for
            each; or why the model could not be asked about it. What a call about several took is
            shared out to them: the sum of `usage` is what the calls took, costs to rounding; the
            first one of each call counts it, in `calls` and `usage.cached`, and the others do not.
        """
        return run(self._all(list(zip(images, candidates, seeds, strict=True))))

    async def arank_all(
        self,
        images: Sequence[Image.Image],
        candidates: Sequence[Sequence[Candidate]],
        seeds: Sequence[int],
    ) -> list[Outcome]:
        """Like `rank_all`, without blocking the event loop while the model thinks."""
        return await arun(self._all(list(zip(images, candidates, seeds, strict=True))))

    def questions_all(
        self,
        images: Sequence[Image.Image],
        candidates: Sequence[Sequence[Candidate]],
        seeds: Sequence[int],
    ) -> list[Question]:
        """What `rank_all` would ask first, of which nothing is asked."""
        crops = list(zip(images, candidates, seeds, strict=True))
        asked: list[Question] = []
        for group in _groups(crops, self._size(crops)):
            if len(group) == 1:
                asked += self.questions(*group[0])
            else:
                asked.append(self._question_of(group, _orders(group)))
        return asked

    async def _all(self, crops: Sequence[Crop]) -> list[Outcome]:
        groups = _groups(crops, self._size(crops))
        return [one for group in await _at_once(map(self._group, groups)) for one in group]

    def _size(self, crops: Sequence[Crop]) -> int:
        """How many crops to show in a call: as many as its server takes as large as they are."""
        known = self._model.capabilities
        side = max((max(image.size) for image, _, _ in crops), default=1)
        side = min(side, self._image_side, known.side(1) or side)
        size = min(self._together, known.known.most or self._together)
        while size > 1 and (known.side(size) or side) < side:
            size -= 1
        return size

    async def _group(self, crops: Sequence[Crop]) -> list[Outcome]:
        """Ask about some crops in one call; in several where the server takes fewer pictures."""
        from rar_agent.models.too_many import most_taken, too_many

        if len(crops) == 1:
            return [await self._alone(*crops[0])]
        orders = _orders(crops)
        question = await asyncio.to_thread(self._question_of, crops, orders)
        answer = await self._ask(question)
        if not isinstance(answer, ProviderError):
            return await asyncio.to_thread(self._rankings, crops, orders, answer)
        cause = answer.__cause__
        if cause is None or not too_many(cause):
            return [answer] * len(crops)
        most = max(1, most_taken(cause, question))
        parts = _groups(crops, most)
        outcomes = await _at_once(map(self._group, parts))
        if isinstance(outcomes[0][0], Ranking):  # so many are taken
            self._model.capabilities.limit_number(most)
        return [one for part in outcomes for one in part]

    async def _alone(
        self, image: Image.Image, candidates: Sequence[Candidate], seed: int
    ) -> Outcome:
        try:
            return await self.arank(image, candidates, seed)
        except ProviderError as error:
            return error

    def _question_of(self, crops: Sequence[Crop], orders: Sequence[Sequence[int]]) -> Question:
        from rar_agent.models import Question

        photos: list[Picture] = [self._picture(image) for image, _, _ in crops]
        prompt, candidates = self._several, [own for _, own, _ in crops]
        values = values_of_crops(prompt, photos, candidates, orders, self._domain)
        letters = {
            str(number): sorted_letters(LETTERS[: len(own)])
            for number, own in enumerate(candidates, 1)
        }
        return Question(prompt.render(values), prompt.settings, schema=object_of(letters))

    def _rankings(
        self, crops: Sequence[Crop], orders: Sequence[Sequence[int]], answer: Answer
    ) -> list[Outcome]:
        names = [
            [(own[p].category.name, *own[p].category.aliases) for p in order]
            for (_, own, _), order in zip(crops, orders, strict=True)
        ]
        read = zip(orders, parse_crops(answer.text, names), strict=True)
        shares = _shared(answer.usage, len(crops))
        prompt: dict[str, Any] = {
            "prompt": self._several.reference,
            "prompt_hash": self._several.sha256,
        }
        return [
            self._of_one(order, parsed, replace(answer, usage=usage)).model_copy(
                update={**prompt, "calls": int(number == 0)}
            )
            for number, ((order, parsed), usage) in enumerate(zip(read, shares, strict=True))
        ]

    def _of_one(self, order: Sequence[int], parsed: Parsed, answer: Answer) -> Ranking:
        said = place_probabilities(parsed.options, len(order)) if parsed.options else None
        read = Read([order], [said], parsed.repairs, [answer])
        return self._ranking(read.shares(len(order)), read)


def _groups(crops: Sequence[Crop], size: int) -> list[Sequence[Crop]]:
    return [crops[start : start + size] for start in range(0, len(crops), size)]


def _orders(crops: Sequence[Crop]) -> list[list[int]]:
    return [shown_orders(len(own), seed, 1)[0] for _, own, seed in crops]


def _shared(usage: Usage, count: int) -> list[Usage]:
    """What a call took, in as many parts; the first has what cannot be divided."""
    parts = []
    for place in range(count):
        shares: dict[str, Any] = {}
        for name, whole in usage.model_dump().items():
            if name == "cached":
                shares[name] = whole if place == 0 else 0
            elif isinstance(whole, int):
                shares[name] = whole // count + (place < whole % count)
            else:
                shares[name] = None if whole is None else whole / count
        parts.append(Usage(**shares))
    return parts


async def _at_once(work: Iterable[Awaitable[_T]]) -> list[_T]:
    """Do all at the same time; what is left where one went wrong is given up."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
