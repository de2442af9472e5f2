"""The nodes: small functions from state to an update and a route."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any, Literal, get_args

from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime, get_runtime
from langgraph.types import Command

from rar_agent.errors import InputError, NotFoundError, ProviderError
from rar_agent.graph.cascade import shown
from rar_agent.graph.conclusion import conclusion
from rar_agent.graph.context import Context, context_of, refusing, services_of
from rar_agent.graph.services import Services
from rar_agent.graph.state import RecognizeState
from rar_agent.images import AdmittedImage
from rar_agent.images import admit as admit_image
from rar_agent.memory import Filter
from rar_agent.memory.search import Method
from rar_agent.ranking import Ranker
from rar_agent.settings import MOST_CANDIDATES
from rar_agent.telemetry import part, recognized
from rar_agent.types import Candidate, Ranking


def admit(state: RecognizeState, runtime: Runtime[Context]) -> dict[str, Any]:
    """From the string that names an image to the hash of an admitted one.

    Raises:
        ImageError: It may not be read, or is no image within the limits.
        RefusedError: The same, or there is no such memory, where a graph server's client asks.
    """
    context, start = context_of(runtime), perf_counter()
    with refusing(context):
        services = services_of(context)
        if not isinstance(state["image"], str):
            raise InputError(
                f"The image is a {type(state['image']).__name__}.", "Give its path or URL."
            )
        image = _image(state["image"], state["image"], services)
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
        "timings_ms": _since(start, "admit"),
    }


def retrieve(
    state: RecognizeState, runtime: Runtime[Context]
) -> Command[Literal["rank", "conclude"]]:
    """Encode the image and search the memory; rank only where that can change the answer.

    Raises:
        InputError: What the run chooses is not valid.
        RefusedError: The same, where a graph server's client asks.
    """
    context = context_of(runtime)
    services = services_of(context, state.get("generation"))
    memory = services.memory
    with refusing(context):
        k, coverage = _asked(context, services)
        image = _image(state["sha256"], state["image"], services)
        start = perf_counter()
        vector, norm = services.embed(image)
        encoded = perf_counter()
        within = context.only or context.where
        with part("search", k=k):
            found = memory.search(
                vector,
                norm,
                k,
                services.settings.exemplars,
                context.method,
                coverage=coverage,
                within=Filter(tuple(context.only), context.where) if within else None,
            )[0]
    likeliest = [
        {"name": candidate.category.name, "probability": candidate.probability}
        for candidate in found.candidates
    ]
    runtime.stream_writer({"step": "retrieved", "memory": memory.name, "candidates": likeliest})
    update: dict[str, Any] = {
        "candidates": [candidate.model_dump(mode="json") for candidate in found.candidates],
        "branches": [branch.model_dump(mode="json") for branch in found.branches],
        "familiarity": found.familiarity,
        "memory": memory.name,
        "timings_ms": {
            "encode": 1000 * (encoded - start),
            **_since(encoded, "search"),
        },
    }
    if coverage is not None and found.coverage is None:
        update["reason"] = (
            f"the candidate set for coverage {coverage:g} is cut at {len(found.candidates)}"
        )
    if not found.similar_enough:
        update["abstain"] = (
            f"nothing similar enough: only {100 * (found.familiarity or 0):.1f} % of known images "
            "are as far from all that the memory knows"
        )
        return Command(goto="conclude", update=update)
    probabilities = [candidate.probability for candidate in found.candidates]
    update["shown"] = len(probabilities)
    if services.ranker.asks:
        fitted = context.method == "fitted"
        cascade = services.cascade(services.ranker.prompt_hash)
        cascade = cascade.of(len(probabilities), context.method)
        if why := cascade.skips(memory, probabilities, fitted):
            return Command(goto="conclude", update={**update, "reason": f"not ranked: {why}"})
        if fitted:
            update["shown"] = shown(memory, probabilities)
    return Command(goto="rank", update=update)


def _asked(context: Context, services: Services) -> tuple[int, float | None]:
    """How many candidates are retrieved, and for what coverage; a number comes first."""
    k = context.k if context.k is not None else services.settings.k
    if not isinstance(k, int) or not 1 <= k <= MOST_CANDIDATES:
        raise InputError(f"k = {k!r} is not valid.", f"Give 1 to {MOST_CANDIDATES}.")
    if context.method not in get_args(Method):
        raise InputError(f"Method {context.method!r} is unknown.", "Give fitted or knn.")
    if context.coverage is None and context.k is None:
        return k, services.settings.coverage
    return k, context.coverage


def rank(state: RecognizeState) -> Command[Literal["conclude"]]:
    """Order the candidates; where the model fails, the retrieval order stays, degraded."""
    context, start = context_of(get_runtime(Context)), perf_counter()
    services = services_of(context, state.get("generation"))
    candidates = _candidates(state)[: state["shown"]]
    try:
        image = _image(state["sha256"], state["image"], services).rgb
        ranker = _ranker(services, state, context)
        _tell_ranking(ranker, candidates)
        with part("rank"):
            ranking = ranker.rank(image, candidates, order_seed(services, state))
    except ProviderError as error:
        return _degraded(error.message, start)
    return _ranked(ranking, start)


async def arank(state: RecognizeState) -> Command[Literal["conclude"]]:
    """Like `rank`, for asynchronous runs."""
    context, start = context_of(get_runtime(Context)), perf_counter()
    services = services_of(context, state.get("generation"))
    candidates = _candidates(state)[: state["shown"]]
    try:
        image = _image(state["sha256"], state["image"], services).rgb
        ranker = _ranker(services, state, context)
        _tell_ranking(ranker, candidates)
        with part("rank"):
            ranking = await ranker.arank(image, candidates, order_seed(services, state))
    except ProviderError as error:
        return _degraded(error.message, start)
    return _ranked(ranking, start)


def conclude(state: RecognizeState, runtime: Runtime[Context]) -> dict[str, Any]:
    """Fuse, decide and write the recognition."""
    context = context_of(runtime)
    ranking = Ranking.model_validate(state["ranking"]) if state.get("ranking") else None
    recognition = conclusion(
        state,
        _candidates(state),
        ranking,
        services_of(context, state.get("generation")),
        context.method,
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


def _ranked(ranking: Ranking, start: float) -> Command[Literal["conclude"]]:
    update: dict[str, Any] = {
        "ranking": ranking.model_dump(mode="json"),
        "timings_ms": _since(start, "rank"),
    }
    if ranking.parse_status == "failed":
        update["degraded"] = True
        update["reason"] = f"the model's answer names none of the options: {ranking.raw[:120]!r}"
    return Command(goto="conclude", update=update)


def _degraded(reason: str, start: float) -> Command[Literal["conclude"]]:
    return Command(
        goto="conclude",
        update={"degraded": True, "reason": reason, "timings_ms": _since(start, "rank")},
    )


def _image(sha256: str, named: str, services: Services) -> AdmittedImage:
    """The image of a hash; admitted again by name where the store has dropped it meanwhile."""
    try:
        return services.store.get(sha256)
    except NotFoundError:
        image = admit_image(named, services.policy)
    services.store.put(image)
    return image


def _candidates(state: RecognizeState) -> Sequence[Candidate]:
    return [Candidate.model_validate(candidate) for candidate in state["candidates"]]


def order_seed(services: Services, state: RecognizeState) -> int:
    """Of the order of options: the same image is shown the same way, other images otherwise."""
    return services.settings.seed * 1_000_003 + int(state["sha256"][:8], 16)


def _since(start: float, part: str) -> dict[str, float]:
    return {part: 1000 * (perf_counter() - start)}
