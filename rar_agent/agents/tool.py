"""`recognize_image`: the tool that agents call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from langchain.tools import ToolRuntime
from langchain_core.tools import StructuredTool, ToolException
from pydantic import BaseModel, Field, create_model

from rar_agent.agents.answer import describe, tool_description
from rar_agent.agents.conversation import find_image
from rar_agent.agents.recognizers import Recognizers
from rar_agent.errors import InputError, RarError
from rar_agent.recognizer import Asked, Recognizer
from rar_agent.telemetry import events
from rar_agent.types import Recognition

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


@contextmanager
def telling() -> Iterator[None]:
    """Tell the model of errors; those that it and its user cannot mend are in the log, too.

    Raises:
        ToolException: In place of the error.
    """
    try:
        yield
    except InputError as error:
        raise ToolException(str(error)) from error
    except RarError as error:
        _log.warning("a tool failed", error=error)
        raise ToolException(str(error)) from error


def make_recognize_image(
    recognizer: Recognizer | Recognizers | None = None,
    name: str = "recognize_image",
    description: str | None = None,
    memories: Sequence[str] | None = None,
) -> StructuredTool:
    """A tool that recognises images of the conversation, or files under the settings' roots.

    The model gets a few lines; the program gets the whole recognition, as plain data, in the tool
    message's `artifact`. Errors come back as tool messages that say what to do.

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
        memory: str | None = None,
        runtime: ToolRuntime = None,  # type: ignore[assignment] # Optional would not be injected
    ) -> tuple[str, dict[str, Any]]:
        with telling():
            chosen = asked.of(memory, runtime)
            found = find_image(image, runtime, chosen.settings)
            return _answer(chosen.recognize(found, **_more(chosen, top_k)), top_k)

    async def arun(
        image: str,
        top_k: int = NAMED,
        memory: str | None = None,
        runtime: ToolRuntime = None,  # type: ignore[assignment]
    ) -> tuple[str, dict[str, Any]]:
        with telling():
            chosen = await asyncio.to_thread(asked.of, memory, runtime)
            found = await asyncio.to_thread(find_image, image, runtime, chosen.settings)
            return _answer(await chosen.arecognize(found, **_more(chosen, top_k)), top_k)

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


def _more(recognizer: Recognizer, top_k: int) -> Asked:
    """More candidates, where they are wanted; never fewer, which would not leave much to rank."""
    return {"k": top_k} if top_k > max(NAMED, recognizer.settings.k) else {}


def _answer(recognition: Recognition, top_k: int) -> tuple[str, dict[str, Any]]:
    return describe(recognition, top_k), recognition.model_dump(mode="json")


recognize_image = make_recognize_image()
"""The tool with the settings' memory and model; nothing is loaded before its first call."""
