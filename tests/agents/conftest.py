"""Agents with a scripted model; tools, memory and middleware are real."""

import base64
import io

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage

from rar_agent import Recognizer, make_recognize_image
from rar_agent.memory import create_memory, read_folder


class ScriptedModel(GenericFakeChatModel):
    """Plays the calling agent, and remembers what it was sent."""

    seen: list = []  # noqa: RUF012 - a pydantic field, copied for each model

    def bind_tools(self, tools, **kwargs):
        return self

    def _generate(self, messages, *args, **kwargs):
        self.seen.append(messages)
        return super()._generate(messages, *args, **kwargs)


def model(*answers):
    """A model that answers so: a text, or the arguments of a call of recognize_image."""
    script = []
    for number, answer in enumerate(answers):
        call = {"name": "recognize_image", "args": answer, "id": f"call_{number}"}
        if isinstance(answer, str):
            script.append(AIMessage(answer))
        elif isinstance(answer, AIMessage):
            script.append(answer)
        else:
            script.append(AIMessage("", tool_calls=[{**call, "type": "tool_call"}]))
    return ScriptedModel(messages=iter(script), seen=[])


def encoded(image, form="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def block(image):
    data = base64.b64encode(encoded(image)).decode()
    return {"type": "image", "base64": data, "mime_type": "image/png"}


def tool_messages(state):
    return [m for m in state["messages"] if isinstance(m, ToolMessage)]


@pytest.fixture(scope="package")
def place(tmp_path_factory, builtin, discs):
    place = tmp_path_factory.mktemp("agents-home")
    create_memory(place, "discs", builtin, read_folder(discs), domain="coloured discs")
    create_memory(place, "other", builtin, read_folder(discs), domain="shapes")
    return place


@pytest.fixture(scope="package")
def recognizer(place):
    whole = (1, 1, 1)  # a square box is its own crop, whatever the usual style is
    return Recognizer("discs", home=place, device="cpu", crop_scales=whole)


@pytest.fixture(scope="package")
def discs_tool(recognizer):
    return make_recognize_image(recognizer)
