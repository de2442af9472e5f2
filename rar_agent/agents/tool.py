"""`recognize_image`: the tool that agents call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from langchain.tools import ToolRuntime
from langchain_core.tools import StructuredTool, ToolException
from pydantic import BaseModel, Field, create_model

from rar_agent.agents.answer import describe, describe_boxes, tool_description
from rar_agent.agents.boxes import FORM, Boxes, shares
from rar_agent.agents.conversation import find_image
from rar_agent.agents.recognizers import Recognizers
from rar_agent.agents.untrusted import plain
from rar_agent.errors import InputError, RarError
from rar_agent.recognizer import Asked, Recognizer
from rar_agent.telemetry import events
from rar_agent.types import Detections, Recognition

_log = events(__name__)

NAMED = 5
"""Candidates that a model is told of, where it does not say how many."""


class RecognizeImageInput(BaseModel):
    """What a model fills in."""

    image: str = Field(
        description="Which image: image_1 is the first one attached in this conversation, image_2 "
        "the second. Never image data."
    )
    top_k: int = Field(default=NAMED, ge=1, le=26, description="How many candidates to name.")
    boxes: Boxes = Field(default_factory=list)


@contextmanager
def telling() -> Iterator[None]:
    """Tell the model of errors; those that it and its user cannot mend are in the log, too.

    Raises:
        ToolException: In place of the error.
    """
    try:
        yield
    except InputError as error:
        raise ToolException(plain(str(error))) from error
    except RarError as error:
        _log.warning("a tool failed", error=error)
        raise ToolException(plain(str(error))) from error


def make_recognize_image(
    recognizer: Recognizer | Recognizers | None = None,
    name: str = "recognize_image",
    description: str | None = None,
    memories: Sequence[str] | None = None,
) -> StructuredTool:
    """A tool that recognises images of the conversation, or files under the settings' roots.

    The model gets a few lines; the program gets the whole recognition, as plain data, in the tool
    message's `artifact`: a dumped `Recognition`, or `Detections` where the model gave boxes. Errors
    come back as tool messages that say what to do.

    Args:
        recognizer: What to ask; default: one from the settings, loaded at the first call.
        name: The tool's name.
        description: What the model is told of it; default: what the recognizer's memory knows.
        memories: Names of memories that the model may choose from; default: the recognizer's alone,
            or, without a recognizer, all there are.

    Raises:
        NotFoundError: The recognizer's memory, or one of these, does not exist.
    """
    asked = recognizer if isinstance(recognizer, Recognizers) else Recognizers(recognizer)
    opened = [asked.of(memory).memory for memory in memories or ()]
    if isinstance(recognizer, Recognizer) and not opened:
        opened = [recognizer.memory]

    def run(
        image: str,
        top_k: int = NAMED,
        boxes: Sequence[Sequence[float]] = (),
        memory: str | None = None,
        runtime: ToolRuntime = None,  # type: ignore[assignment] # Optional would not be injected
    ) -> tuple[str, dict[str, Any]]:
        with telling():
            chosen = asked.of(memory, runtime)
            found = find_image(image, runtime, chosen.settings)
            more, given = _more(chosen, top_k), shares(boxes)
            if given:
                tell = runtime.stream_writer if runtime else None
                return _answer(chosen.detect(found, given, FORM, tell, **more), top_k)
            return _answer(chosen.recognize(found, **more), top_k)

    async def arun(
        image: str,
        top_k: int = NAMED,
        boxes: Sequence[Sequence[float]] = (),
        memory: str | None = None,
        runtime: ToolRuntime = None,  # type: ignore[assignment]
    ) -> tuple[str, dict[str, Any]]:
        with telling():
            chosen = await asyncio.to_thread(asked.of, memory, runtime)
            found = await asyncio.to_thread(find_image, image, runtime, chosen.settings)
            more, given = _more(chosen, top_k), shares(boxes)
            if given:
                detected = await chosen.adetect(found, given, FORM, _telling(runtime), **more)
                return _answer(detected, top_k)
            return _answer(await chosen.arecognize(found, **more), top_k)

    return StructuredTool.from_function(
        run,
        arun,
        name=name,
        description=tool_description(opened) if description is None else description,
        args_schema=_schema(None if recognizer and memories is None else memories or ()),
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def _schema(memories: Sequence[str] | None) -> type[BaseModel]:
    """What a model fills in, with a choice of memories: of any if there are none, None: none."""
    if memories is None:
        return RecognizeImageInput
    kind: Any = Literal[tuple(memories)] if memories else str
    field = Field(default=None, description="Memory to ask; leave out for the usual one.")
    return create_model(
        "RecognizeImageInput", __base__=RecognizeImageInput, memory=(kind | None, field)
    )


def _telling(runtime: ToolRuntime | None) -> Callable[[dict[str, Any]], Awaitable[None]]:
    """Progress, to who streams the agent."""

    async def tell(said: dict[str, Any]) -> None:
        if runtime:
            runtime.stream_writer(said)

    return tell


def _more(recognizer: Recognizer, top_k: int) -> Asked:
    """More candidates, where they are wanted; never fewer, which would not leave much to rank."""
    return {"k": top_k} if top_k > max(NAMED, recognizer.settings.k) else {}


def _answer(found: Recognition | Detections, top_k: int) -> tuple[str, dict[str, Any]]:
    dumped = found.model_dump(mode="json")
    if isinstance(found, Recognition):
        return describe(found, top_k), dumped
    return describe_boxes(found, top_k), dumped


recognize_image = make_recognize_image()
"""The tool with the settings' memory and model; nothing is loaded before its first call."""
