"""`recognize_image`: the tool that agents call."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from langchain.tools import ToolRuntime
from langchain_core.tools import StructuredTool, ToolException
from pydantic import BaseModel, Field

from rar_agent.agents.answer import describe
from rar_agent.agents.conversation import is_handle, resolve_handle
from rar_agent.errors import RarError
from rar_agent.images import AdmittedImage, Policy, admit
from rar_agent.recognizer import Recognizer
from rar_agent.types import Recognition

DESCRIPTION = (
    "Recognise which one exactly an image shows (species, model, dish, part, product) by comparing "
    "it with a memory of categories. Use it instead of guessing whenever the exact name matters. "
    "Returns the best categories with probabilities."
)


class RecognizeImageInput(BaseModel):
    """What a model fills in."""

    image: str = Field(
        description="Which image: 'image_1' is the first image attached in this conversation, "
        "'image_2' the second, and so on. Never paste image data."
    )
    top_k: int = Field(default=5, ge=1, le=26, description="How many candidates to return.")


def make_recognize_image(
    recognizer: Recognizer | None = None,
    name: str = "recognize_image",
    description: str = DESCRIPTION,
) -> StructuredTool:
    """A tool that recognises images of the conversation, or files under the settings' roots.

    The model gets a few lines; the program gets the whole recognition, as plain data, in the tool
    message's `artifact`. Errors come back as tool messages that say what to do.

    Args:
        recognizer: What to ask; default: one from the settings, loaded at the first call.
        name: The tool's name.
        description: What the model is told of it.
    """
    known: list[Recognizer] = [recognizer] if recognizer else []

    lock = threading.Lock()

    def ready() -> Recognizer:
        with lock:
            if not known:
                known.append(Recognizer())
            return known[0]

    def run(
        image: str,
        top_k: int = 5,
        runtime: ToolRuntime = None,  # type: ignore[assignment] # Optional would not be injected
    ) -> tuple[str, dict[str, Any]]:
        try:
            found = _find(image, runtime, ready())
            return _answer(ready().recognize(found, k=top_k))
        except RarError as error:
            raise ToolException(str(error)) from error

    async def arun(
        image: str,
        top_k: int = 5,
        runtime: ToolRuntime = None,  # type: ignore[assignment]
    ) -> tuple[str, dict[str, Any]]:
        try:
            found = await asyncio.to_thread(lambda: _find(image, runtime, ready()))
            return _answer(await ready().arecognize(found, k=top_k))
        except RarError as error:
            raise ToolException(str(error)) from error

    return StructuredTool.from_function(
        run,
        arun,
        name=name,
        description=description,
        args_schema=RecognizeImageInput,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def _find(image: str, runtime: ToolRuntime | None, recognizer: Recognizer) -> AdmittedImage:
    policy = Policy.of(recognizer.settings, authority="model")
    if is_handle(image):
        messages = runtime.state.get("messages", []) if runtime else []
        return resolve_handle(image, messages, policy)
    return admit(image, policy)


def _answer(recognition: Recognition) -> tuple[str, dict[str, Any]]:
    return describe(recognition), recognition.model_dump(mode="json")


recognize_image = make_recognize_image()
"""The tool with the settings' memory and model; nothing is loaded before its first call."""
