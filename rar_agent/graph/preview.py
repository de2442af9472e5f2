"""What a model would be asked about a photo, asked of nobody; and what it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langgraph.runtime import Runtime

from rar_agent.errors import InputError
from rar_agent.graph.cascade import shown
from rar_agent.graph.context import Context
from rar_agent.graph.nodes import retrieve
from rar_agent.graph.services import WAYS, Services
from rar_agent.graph.state import RecognizeState
from rar_agent.images import AdmittedImage, Picture, to_picture
from rar_agent.prompts import Prompt
from rar_agent.ranking import AskingRanker, Ranker
from rar_agent.settings import Settings
from rar_agent.types import Candidate

if TYPE_CHECKING:
    from rar_agent.models import ChatModel, Exchange, Question


@dataclass(frozen=True)
class Preview:
    """What a model would be asked.

    Attributes:
        prompt: That is asked with.
        way: Name of the ranker.
        memory: Name of the memory.
        candidates: That it would be shown, in retrieval order.
        retrieved: How many there were to choose from.
        photo: As it would be shown.
        questions: What the ranker asks first, in its order.
        skipped: Why recognition would ask nothing about this photo; empty where it would.
    """

    prompt: Prompt
    way: str
    memory: str
    candidates: Sequence[Candidate]
    retrieved: int
    photo: Picture
    questions: Sequence[Question]
    skipped: str


def preview(
    settings: Settings, image: AdmittedImage, prompt: Prompt, way: str | None, k: int | None
) -> Preview:
    """Retrieve as recognition does, and put the questions that its ranker would put.

    Args:
        settings: Which memory, and the seed of the order of options.
        image: The photo.
        prompt: To ask with.
        way: Name of the ranker; None: the one that the settings or the prompt's name suggest.
        k: Candidates; None: the settings' number.

    Raises:
        InputError: There are fewer than two candidates.
        ConfigurationError: The ranker cannot read what the prompt asks for.
    """
    way = way or way_of(prompt, settings)
    services = _Unasked(settings, prompt, way)
    services.store.put(image)
    state: RecognizeState = {"image": image.sha256, "sha256": image.sha256}
    retrieved = retrieve(state, Runtime(context=Context(k=k, services=services)))
    update: dict[str, Any] = retrieved.update or {}
    found = [Candidate.model_validate(candidate) for candidate in update["candidates"]]
    # Also where recognition would skip the model, and so need not say how many it would show.
    candidates = found[: shown(services.memory, [candidate.probability for candidate in found])]
    if len(candidates) < 2:
        raise InputError(
            f"A model is asked about two candidates or more; there is {len(candidates)}.",
            "Give --k 2 or more, or a memory with more categories.",
        )
    return Preview(
        prompt,
        way,
        services.memory.name,
        candidates,
        len(found),
        to_picture(image.rgb, settings.image_side),
        services.asker.questions(image.rgb, candidates, services.order_seed(state["sha256"])),
        (update.get("abstain") or update.get("reason", "")) if retrieved.goto == "conclude" else "",
    )


@dataclass(frozen=True)
class Watched:
    """What goes to a model, and what comes back.

    Attributes:
        model: None where none is set.
        options: Of the model, sent with each request.
        exchanges: So far, in order.
    """

    model: ChatModel | None
    options: Mapping[str, Any]
    exchanges: list[Exchange]


_told: ContextVar[list[Exchange] | None] = ContextVar("told", default=None)


def _tell(exchange: Exchange) -> None:
    """Tell whoever watches what is asked here: a task that asks has the context it was begun in."""
    told = _told.get()
    if told is not None:
        told.append(exchange)


@contextmanager
def watched(services: Services) -> Iterator[Watched]:
    """See all that goes to the services' model from here meanwhile, and nothing of others."""
    ranker = services.ranker
    model = ranker.model if isinstance(ranker, AskingRanker) else None
    exchanges: list[Exchange] = []
    if model:
        model.watch = _tell
    token = _told.set(exchanges)
    try:
        yield Watched(model, services.settings.model_options, exchanges)
    finally:
        _told.reset(token)


def way_of(prompt: Prompt, settings: Settings) -> str:
    """The ranker that a prompt is for: of those that can read it, the one it is named after.

    Otherwise the settings' one, or the first that can.

    Raises:
        InputError: None can.
    """
    readable = [name for name, way in WAYS.items() if prompt.output in way.outputs]
    if not readable:
        raise InputError(
            f"Prompt {prompt.reference} gives {prompt.output}, which no ranker reads.",
            "Name one that asks about candidates: rar-agent prompts list.",
        )
    named = prompt.reference.partition("@")[0].partition("-")[0]
    return next((name for name in (named, settings.ranker) if name in readable), readable[0])


class _Unasked(Services):
    """Services whose ranker is never asked to rank, so it needs no model."""

    def __init__(self, settings: Settings, prompt: Prompt, way: str) -> None:
        from langchain_core.language_models import FakeListChatModel

        from rar_agent.models import ChatModel

        super().__init__(settings, authority="caller")
        nobody = ChatModel("nobody", FakeListChatModel(responses=[]))
        self.asker = self.asking_ranker(way, nobody, prompt)

    @property
    def ranker(self) -> Ranker:
        """The one whose questions are wanted."""
        return self.asker
