"""The nodes: small functions from state to an update and a route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime, get_runtime
from langgraph.types import Command

from rar_agent.encoders import FloatArray
from rar_agent.errors import InputError, ProviderError
from rar_agent.graph.conclusion import conclusion
from rar_agent.graph.context import Context, context_of, refusing, services_of
from rar_agent.graph.places import within
from rar_agent.graph.retrieval import Wanted, retrieved, wanted_of
from rar_agent.graph.services import Services
from rar_agent.graph.state import RecognizeState
from rar_agent.images import AdmittedImage
from rar_agent.loop import Threads
from rar_agent.ranking import Ranker
from rar_agent.telemetry import part, recognized
from rar_agent.types import Candidate, Ranking

_reading = Threads(16, "rar-agent-admit")
"""Callers who hold a place may wait here for images that are slow to come."""


async def aadmit(state: RecognizeState) -> dict[str, Any]:
    """Like `admit`, for asynchronous runs."""
    return await _reading.run(admit, state, get_runtime(Context))


def admit(state: RecognizeState, runtime: Runtime[Context] | None = None) -> dict[str, Any]:
    """From the string that names an image to the hash of an admitted one.

    Raises:
        ImageError: It may not be read, or is no image within the limits.
        RefusedError: The same, or there is no such memory, where a graph server's client asks.
    """
    context, start = context_of(runtime or get_runtime(Context)), perf_counter()
    with refusing(context):
        services = services_of(context)
        if not isinstance(state["image"], str):
            raise InputError(
                f"The image is a {type(state['image']).__name__}.", "Give its path or URL."
            )
        image = services.image(state["image"], state["image"])
    return {
        "sha256": image.sha256,
        "name": str(state.get("source") or image.name),
        "generation": services.memory.manifest.generation,  # that the whole run is answered by
        # A thread's earlier run must not answer for this one.
        "candidates": [],
        "branches": [],
        "familiarity": None,
        "ranking": None,
        "abstain": "",
        "reason": "",
        "degraded": False,
        "timings_ms": {"admit": _since(start)},
    }


def retrieve(
    state: RecognizeState, runtime: Runtime[Context] | None = None
) -> Command[Literal["rank", "conclude"]]:
    """Encode the image and search the memory; rank only where that can change the answer.

    Args:
        state: With the image's hash.
        runtime: The run's; None: of the graph that runs.

    Raises:
        InputError: What the run chooses is not valid.
        RefusedError: The same, where a graph server's client asks.
    """
    query = _query(state, runtime or get_runtime(Context))
    start = perf_counter()
    with refusing(query.context):
        embedding = query.services.embed(query.image)
    return _searched(query, embedding, _since(start))


async def aretrieve(state: RecognizeState) -> Command[Literal["rank", "conclude"]]:
    """Like `retrieve`, for asynchronous runs, which hold no thread while the image is encoded."""
    query = await within.run(_query, state, get_runtime(Context))
    start = perf_counter()
    with refusing(query.context):
        embedding = await query.services.aembed(query.image)
    return await asyncio.to_thread(_searched, query, embedding, _since(start))


@dataclass(frozen=True)
class _Query:
    """An image, and what is wanted of which memory for it."""

    context: Context
    services: Services
    wanted: Wanted
    image: AdmittedImage
    tell: Callable[[Any], None]


def _query(state: RecognizeState, runtime: Runtime[Context]) -> _Query:
    context = context_of(runtime)
    services = services_of(context, state.get("generation"))
    with refusing(context):
        wanted = wanted_of(context, services)
        image = services.image(state["sha256"], state["image"])
    return _Query(context, services, wanted, image, runtime.stream_writer)


def _searched(
    query: _Query, embedding: tuple[FloatArray, FloatArray], encoded_ms: float
) -> Command[Literal["rank", "conclude"]]:
    services = query.services
    with refusing(query.context):
        [(update, ranks)] = retrieved(*embedding, query.wanted, services, services.ranker)
    likeliest = [
        {"name": candidate["category"]["name"], "probability": candidate["probability"]}
        for candidate in update["candidates"]
    ]
    query.tell({"step": "retrieved", "memory": update["memory"], "candidates": likeliest})
    update["timings_ms"] = {"encode": encoded_ms, **update["timings_ms"]}
    return Command(goto="rank" if ranks else "conclude", update=update)


def rank(state: RecognizeState) -> Command[Literal["conclude"]]:
    """Order the candidates; where the model fails, the retrieval order stays, degraded."""
    context, start = context_of(get_runtime(Context)), perf_counter()
    services = services_of(context, state.get("generation"))
    candidates = _candidates(state)[: state["shown"]]
    outcome: Ranking | ProviderError
    try:
        image = services.image(state["sha256"], state["image"]).rgb
        ranker = _ranker(services, state, context)
        _tell_ranking(ranker, candidates)
        with part("rank"):
            outcome = ranker.rank(image, candidates, services.order_seed(state["sha256"]))
    except ProviderError as error:
        outcome = error
    return Command(goto="conclude", update=ranked_update(outcome, _since(start)))


async def arank(state: RecognizeState) -> Command[Literal["conclude"]]:
    """Like `rank`, for asynchronous runs."""
    context, start = context_of(get_runtime(Context)), perf_counter()
    services = services_of(context, state.get("generation"))
    candidates = _candidates(state)[: state["shown"]]
    outcome: Ranking | ProviderError
    try:
        image = services.image(state["sha256"], state["image"]).rgb
        ranker = _ranker(services, state, context)
        _tell_ranking(ranker, candidates)
        with part("rank"):
            seed = services.order_seed(state["sha256"])
            outcome = await ranker.arank(image, candidates, seed)
    except ProviderError as error:
        outcome = error
    return Command(goto="conclude", update=ranked_update(outcome, _since(start)))


def conclude(state: RecognizeState, runtime: Runtime[Context]) -> dict[str, Any]:
    """Fuse, decide and write the recognition."""
    context = context_of(runtime)
    ranking = Ranking.model_validate(state["ranking"]) if state.get("ranking") else None
    services = services_of(context, state.get("generation"))
    recognition = conclusion(
        state,
        _candidates(state),
        ranking,
        services,
        context.method,
        services.ranker,
        filtered=bool(context.only or context.where),
    )
    recognized(recognition)
    # The recognition holds them all; the checkpoint need not hold them twice.
    dumped = recognition.model_dump(mode="json")
    return {"recognition": dumped, "candidates": [], "branches": [], "ranking": None}


def _ranker(services: Services, state: RecognizeState, context: Context) -> Ranker:
    """The ranker, with its liking for letters divided out where what was fitted holds."""
    cascade = services.cascade(services.ranker.prompt_hash)
    return services.ranker_of(cascade.of(len(state["candidates"]), context.method))


def _tell_ranking(ranker: Ranker, candidates: Sequence[Candidate]) -> None:
    """Tell whoever streams the run that a model is asked, which takes a while."""
    if ranker.asks:
        get_stream_writer()(
            {"step": "ranking", "ranker": ranker.name, "candidates": len(candidates)}
        )


def ranked_update(outcome: Ranking | ProviderError, took_ms: float) -> dict[str, Any]:
    """What a ranking, or why there is none, adds to the state."""
    update: dict[str, Any] = {"timings_ms": {"rank": took_ms}}
    if isinstance(outcome, ProviderError):
        return {**update, "degraded": True, "reason": outcome.message}
    update["ranking"] = outcome.model_dump(mode="json")
    if outcome.parse_status == "failed":
        update["degraded"] = True
        update["reason"] = f"the model's answer names none of the options: {outcome.raw[:120]!r}"
    return update


def _candidates(state: RecognizeState) -> Sequence[Candidate]:
    return [Candidate.model_validate(candidate) for candidate in state["candidates"]]


def _since(start: float) -> float:
    return 1000 * (perf_counter() - start)
