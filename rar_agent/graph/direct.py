"""What the graph answers of images that no model is asked about, without LangGraph's steps.

These take some milliseconds of a processor an image, and LangGraph a second to import. The parts
are the nodes' own, so the answers are the graph's.
"""

from __future__ import annotations

import os
import sys
from time import perf_counter
from typing import TYPE_CHECKING

from rar_agent.encoders import FloatArray
from rar_agent.graph.conclusion import conclusion
from rar_agent.graph.context import Context
from rar_agent.graph.retrieval import retrieved, wanted_of
from rar_agent.graph.services import Services
from rar_agent.images import AdmittedImage
from rar_agent.telemetry import part, recognized
from rar_agent.types import Candidate, Recognition

if TYPE_CHECKING:
    from rar_agent.graph.state import RecognizeState

_TRACED = ("LANGSMITH_TRACING", "LANGCHAIN_TRACING")


def steps_matter(services: Services) -> bool:
    """Whether images have to go through the graph one by one.

    A model is asked; or somebody is told of steps: LangSmith, a callback handler, or a runnable
    that we are within, such as an agent that is streamed.

    Raises:
        ConfigurationError: The model or its prompt cannot be loaded.
    """
    return services.ranker.asks or _listened()


def _listened() -> bool:
    # Who has imported neither LangChain nor LangSmith has no handlers.
    imported = sys.modules.keys() & {"langchain_core.runnables.config", "langsmith"}
    if not imported and not any(name.startswith(_TRACED) for name in os.environ):
        return False
    from langchain_core.runnables import config

    if config.var_child_runnable_config.get() is not None:
        return True
    return bool(config.get_callback_manager_for_config(config.ensure_config()).handlers)


def answer(
    image: AdmittedImage,
    embedding: tuple[FloatArray, FloatArray],
    services: Services,
    context: Context,
    encode_ms: float,
) -> Recognition:
    """Retrieve, rank and conclude, in one go.

    Args:
        image: Which.
        embedding: As `Services.embed` gives it.
        services: Whose ranker asks nobody.
        context: What is wanted.
        encode_ms: That encoding took.

    Raises:
        InputError: What is wanted is not valid, or a coverage cannot be promised.
        NotFoundError: A filter names an unknown branch.
    """
    wanted, ranker = wanted_of(context, services), services.ranker
    [(update, ranks)] = retrieved(*embedding, wanted, services, ranker)
    candidates = [Candidate.model_validate(dumped) for dumped in update["candidates"]]
    ranking, start = None, perf_counter()
    if ranks:
        seed = services.order_seed(image.sha256)
        with part("rank"):
            ranking = ranker.rank(image.rgb, candidates[: update["shown"]], seed)
        update["timings_ms"]["rank"] = 1000 * (perf_counter() - start)
    state: RecognizeState = {
        "sha256": image.sha256,
        "name": image.name,
        "generation": services.memory.manifest.generation,
        **update,  # type: ignore[typeddict-item]  # as a node's
        "timings_ms": {"encode": encode_ms, **update["timings_ms"]},
    }
    filtered, method = bool(context.only or context.where), context.method
    found = conclusion(state, candidates, ranking, services, method, ranker, filtered)
    recognized(found)
    return found


def embed_and_answer(image: AdmittedImage, services: Services, context: Context) -> Recognition:
    """See `answer`; the image is encoded here, unless it was lately."""
    start = perf_counter()
    embedding = services.embed(image)
    return answer(image, embedding, services, context, 1000 * (perf_counter() - start))
