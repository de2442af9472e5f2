"""The field guide as a tool: an agent asked about one photo, in a conversation of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from langchain.tools import ToolRuntime
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.errors import GraphRecursionError
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel, Field

from rar_agent.agents.boxes import Boxes, shares
from rar_agent.agents.conversation import ATTACHED, find_image
from rar_agent.agents.kept import image_store
from rar_agent.agents.recognizers import context_of
from rar_agent.agents.references import reference
from rar_agent.agents.tool import telling
from rar_agent.agents.untrusted import plain
from rar_agent.errors import ProviderError
from rar_agent.settings import Settings

_MOST_STEPS = 50
"""Of a guide that is asked once: some 16 calls of its model, where it needs 3 or 4."""
_MOST_SAID = 2_000
"""Characters of its answer; it is asked for five sentences."""


class AskFieldGuideInput(BaseModel):
    """What a model fills in."""

    image: str = Field(description="Which photo: image_1 is the first one attached here.")
    question: str = Field(
        default="What exactly is this?", max_length=500, description="What to find out about it."
    )
    boxes: Boxes = Field(default_factory=list)


def asking(agent: CompiledStateGraph[Any, Any, Any, Any], settings: Settings) -> BaseTool:
    """A tool that asks an agent what a photo shows.

    Args:
        agent: The field guide; the recognitions that it had are in the tool message's `artifact`.
        settings: Where images are kept, and what models may name.
    """
    guide = agent.with_config(recursion_limit=_MOST_STEPS)

    def given(
        image: str,
        question: str,
        boxes: Sequence[Sequence[float]],
        runtime: ToolRuntime | None,
    ) -> dict[str, Any]:
        """What the guide is sent: the photo, as the first of its own conversation."""
        if boxes:
            question += f"\nboxes: {json.dumps(shares(boxes))}"
        photo = image_store(settings).put(find_image(image, runtime, settings))
        content: list[str | dict[str, Any]] = [
            reference("image_1"),
            {"type": "text", "text": question},
        ]
        named = {ATTACHED: {"image_1": photo}}
        return {"messages": [HumanMessage(content=content, additional_kwargs=named)]}

    def run(
        image: str,
        question: str = "What exactly is this?",
        boxes: Sequence[Sequence[float]] = (),
        runtime: ToolRuntime = None,  # type: ignore[assignment] # Optional would not be injected
    ) -> tuple[str, dict[str, Any]]:
        with telling(), _trying():
            sent = given(image, question, boxes, runtime)
            return _answer(guide.invoke(sent, context=context_of(runtime)))

    async def arun(
        image: str,
        question: str = "What exactly is this?",
        boxes: Sequence[Sequence[float]] = (),
        runtime: ToolRuntime = None,  # type: ignore[assignment]
    ) -> tuple[str, dict[str, Any]]:
        with telling(), _trying():
            sent = await asyncio.to_thread(given, image, question, boxes, runtime)
            return _answer(await guide.ainvoke(sent, context=context_of(runtime)))

    return StructuredTool.from_function(
        run,
        arun,
        name="ask_field_guide",
        description="Ask the field guide what exactly an attached photo shows. It compares the "
        "photo with what it knows, and answers with how sure it is and what speaks for it.",
        args_schema=AskFieldGuideInput,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


@contextmanager
def _trying() -> Iterator[None]:
    """What else may go wrong with the guide.

    Raises:
        ProviderError: Its model failed, or came to no end.
    """
    try:
        yield
    except ModelError as error:
        raise ProviderError(
            f"The field guide's model failed: {error}", "Say so; a later try may help."
        ) from error
    except GraphRecursionError as error:
        raise ProviderError(
            "The field guide came to no answer.", "Ask it something simpler."
        ) from error


def _answer(state: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The guide's last words, as words, and the recognitions that it had."""
    last = state["messages"][-1]
    found = [
        message.artifact
        for message in state["messages"]
        if isinstance(message, ToolMessage) and message.name == "recognize_image"
    ]
    said = plain(last.text, _MOST_SAID) if isinstance(last, AIMessage) else ""
    # One line after its word: nothing in it passes for what comes from elsewhere.
    told = f"The field guide says: {said}" if said else "The field guide gave no answer."
    return told, {"recognitions": [f for f in found if f]}
