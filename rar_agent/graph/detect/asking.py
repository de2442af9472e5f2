"""The node that asks a model about boxes of one image, several at once where it can."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

from langgraph.runtime import get_runtime
from langgraph.types import Command
from PIL import Image

from rar_agent.errors import ProviderError
from rar_agent.graph.context import Context, context_of, services_of
from rar_agent.graph.detect.crops import Crops
from rar_agent.graph.detect.state import GroupState
from rar_agent.graph.detect.turns import turn
from rar_agent.graph.nodes import ranked_update
from rar_agent.graph.services import Services
from rar_agent.ranking import Ranker
from rar_agent.ranking.crops import Crop, Outcome
from rar_agent.telemetry import part
from rar_agent.types import Candidate


@dataclass(frozen=True)
class _Asked:
    """What a model is asked about boxes."""

    images: Sequence[Image.Image]
    candidates: Sequence[Sequence[Candidate]]
    seeds: Sequence[int]

    @property
    def each(self) -> Iterator[Crop]:
        """One box after another."""
        return zip(self.images, self.candidates, self.seeds, strict=True)


def rank(state: GroupState) -> Command[Literal["conclude"]]:
    """Order the candidates of each box; where that fails, retrieval's order stays, degraded."""
    services, start = _services(state), perf_counter()
    asked = _asked(state, services)
    several = services.crops_ranker
    with part("rank", boxes=len(asked.images)):
        if several and len(asked.images) > 1:
            outcomes = several.rank_all(asked.images, asked.candidates, asked.seeds)
        else:
            outcomes = [_one(services.crop_ranker, *box) for box in asked.each]
    return _ranked(state, outcomes, start)


async def arank(state: GroupState) -> Command[Literal["conclude"]]:
    """Like `rank`, for asynchronous runs; crops are made when there is room to ask about them."""
    services = _services(state)
    async with turn("rank", state["whole"], services.settings.model_requests):
        start = perf_counter()
        asked = await asyncio.to_thread(_asked, state, services)
        several = services.crops_ranker
        with part("rank", boxes=len(asked.images)):
            if several and len(asked.images) > 1:
                outcomes = await several.arank_all(asked.images, asked.candidates, asked.seeds)
            else:
                outcomes = [await _aone(services.crop_ranker, *box) for box in asked.each]
    return _ranked(state, outcomes, start)


def _one(ranker: Ranker, *box: *Crop) -> Outcome:
    try:
        return ranker.rank(*box)
    except ProviderError as error:
        return error


async def _aone(ranker: Ranker, *box: *Crop) -> Outcome:
    try:
        return await ranker.arank(*box)
    except ProviderError as error:
        return error


def _services(state: GroupState) -> Services:
    return services_of(context_of(get_runtime(Context)), state["generation"])


def _asked(state: GroupState, services: Services) -> _Asked:
    crops = Crops(services, services.image(state["whole"], state["image"]))
    group = state["group"]
    return _Asked(
        [crops.of(one["box"]).rgb for one in group],
        [[Candidate.model_validate(c) for c in one["candidates"][: one["shown"]]] for one in group],
        [services.order_seed(one["sha256"]) for one in group],
    )


def _ranked(
    state: GroupState, outcomes: Sequence[Outcome], start: float
) -> Command[Literal["conclude"]]:
    each = 1000 * (perf_counter() - start) / len(outcomes)
    ranked: list[dict[str, Any]] = [
        {"number": one["number"], **ranked_update(outcome, each)}
        for one, outcome in zip(state["group"], outcomes, strict=True)
    ]
    return Command(goto="conclude", update={"ranked": ranked})
