"""Agents around `recognize_image`: a field guide, and one that answers people and asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import SystemMessage
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Checkpointer

from rar_agent.agents.guide import asking
from rar_agent.agents.instructions import instructions
from rar_agent.agents.middleware import AttachedImagesMiddleware
from rar_agent.agents.recognizers import AgentContext, Recognizers
from rar_agent.agents.toolkit import make_toolkit
from rar_agent.errors import InputError
from rar_agent.forks import Once
from rar_agent.graph.context import RefusedError
from rar_agent.prompts import Live, Prompt
from rar_agent.recognizer import Recognizer
from rar_agent.settings import Settings, load_settings
from rar_agent.telemetry import hide_images

Agent = CompiledStateGraph[Any, Any, Any, Any]


def build_agent(
    model: BaseChatModel | str | None = None,
    recognizer: Recognizer | None = None,
    teach: bool = False,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> Agent:
    """An agent that answers people, and asks a field guide what their photos show.

    The field guide is an agent of its own, so the conversation holds its answers alone. Attached
    images are kept out of the messages, see `AttachedImagesMiddleware`.

    Args:
        model: Chat model that calls tools, or its `provider:name`; default: the settings'
            `agent_model`, else their `model`, loaded when it is first called.
        recognizer: What the tools ask; its settings count for attached images, too. Default: one
            from the settings, for others: it decodes images in processes of their own, and answers
            name no folder of this machine.
        teach: Whether the agent may propose to teach; a person is asked before it does, which
            takes a checkpointer.
        checkpointer: Where conversations are kept; a graph server brings its own.

    Raises:
        ConfigurationError: A setting is not valid.
    """
    if recognizer is None:
        recognizer = Recognizer(settings=load_settings().for_others)
        recognizer.services.remote = True
    asked, settings = Recognizers(recognizer), recognizer.settings
    tools = [_field_guide(model, asked, settings)]
    tools += [tool for tool in make_toolkit(asked, teach) if tool.name == "teach_category"]
    return _agent("agent", model, tools, asked, settings, settings.agent_prompt, checkpointer)


def make_field_guide(
    model: BaseChatModel | str | None = None, recognizer: Recognizer | None = None
) -> BaseTool:
    """The field guide as a tool: an agent that recognises a photo and answers with evidence.

    It calls `recognize_image`, reads the category's description, and answers in a few sentences;
    the recognitions it had are in the tool message's `artifact`.

    Args:
        model: See `build_agent`.
        recognizer: What the tool asks; default: one from the settings.

    Raises:
        ConfigurationError: A setting is not valid.
    """
    settings = recognizer.settings if recognizer else load_settings()
    return _field_guide(model, Recognizers(recognizer), settings)


def _field_guide(
    model: BaseChatModel | str | None, asked: Recognizers, settings: Settings
) -> BaseTool:
    tools = make_toolkit(asked)
    # False: the conversation's checkpointer would keep the guide's steps as well.
    guide = _agent("field_guide", model, tools, asked, settings, settings.guide_prompt, False)
    return asking(guide, settings)


def _agent(
    name: str,
    model: BaseChatModel | str | None,
    tools: list[BaseTool],
    asked: Recognizers,
    settings: Settings,
    prompt: str,
    checkpointer: Checkpointer,
) -> Agent:
    hide_images(settings)  # those of the conversation, before the middleware sees them
    chosen = model if isinstance(model, BaseChatModel) else _named_model(model, settings)
    agent: Agent = create_agent(
        # Nobody asks this one: the middleware gives each call its model.
        FakeListChatModel(responses=[]),
        tools=tools,
        middleware=[
            _Instructed(asked, prompt, settings, chosen),
            AttachedImagesMiddleware(settings=settings),
        ],
        context_schema=AgentContext,
        checkpointer=checkpointer,
        name=name,
    )
    return agent


class _Instructed(AgentMiddleware[Any, Any, Any]):
    """Gives each call of the model its instructions, as their file is now, and the model."""

    def __init__(
        self,
        asked: Recognizers,
        prompt: str,
        settings: Settings,
        model: BaseChatModel | Callable[[], BaseChatModel],
    ) -> None:
        super().__init__()
        self._asked = asked
        self._model = model
        self._prompt: Live[Prompt] = Live(prompt, settings.home, lambda made: made)

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        return handler(self._told(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        return await handler(await asyncio.to_thread(self._told, request))

    def _told(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        try:
            memory = self._asked.of(None, request.runtime).memory
        except InputError as error:  # of what the run chose
            raise RefusedError(error.message, error.fix) from error
        told = SystemMessage(instructions(self._prompt.get(), memory))
        model = self._model if isinstance(self._model, BaseChatModel) else self._model()
        return request.override(model=model, system_message=told)


def _named_model(name: str | None, settings: Settings) -> Callable[[], BaseChatModel]:
    """A model by name, loaded when it is first wanted."""

    @Once
    def load() -> BaseChatModel:
        from rar_agent.models import load_chat_model  # a second of imports, where it is used

        chosen = settings
        if name:
            chosen = settings.model_copy(update={"model": name})
        elif settings.agent_model:
            own = {"model": settings.agent_model, "base_url": settings.agent_base_url}
            chosen = settings.model_copy(update=own)
        return load_chat_model(chosen).model

    return load
