"""Middleware that keeps images out of an agent's messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, NotRequired, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain.agents.middleware.types import PrivateStateAttr
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import BaseMessage, ToolMessage
from langgraph.runtime import Runtime
from langgraph.types import Command

from rar_agent.agents.conversation import ATTACHED, sources
from rar_agent.agents.references import with_images, without_bytes
from rar_agent.settings import Settings, load_settings


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Reducer of handles: none is lost."""
    return {**sources(old), **sources(new)}  # a server's client may write anything here


class AttachedImagesState(AgentState[Any]):
    """An agent's state with what its handles stand for; no caller can set that."""

    attached_images: Annotated[NotRequired[dict[str, Any]], merge, PrivateStateAttr]


class AttachedImagesMiddleware(AgentMiddleware[AttachedImagesState, Any, Any]):
    """Keeps images out of an agent's messages, so out of its checkpoints and its model's context.

    An image of a message, a tool's included, goes to the image store; in its place stands
    `[attached image: image_1]`. The name stays with the image when messages are trimmed or
    summarised, and after a restart.

    Args:
        show: Whether the agent's own model is shown the images, each time it is called; without,
            it knows them by the tools' answers only.
        settings: Where images are kept, and limits; default: read as everywhere.
    """

    state_schema = AttachedImagesState

    def __init__(self, show: bool = False, settings: Settings | None = None) -> None:
        super().__init__()
        self._show = show
        self._settings = settings or load_settings()

    def before_model(
        self,
        state: AttachedImagesState,
        runtime: Runtime[Any],  # noqa: ARG002
    ) -> dict[str, Any] | None:
        """Put references in the place of new images."""
        named = sources(state.get(ATTACHED))
        known, changed = len(named), []
        for message in state["messages"]:
            clean, found = without_bytes(message, named, self._settings)
            named |= found
            if clean is not message:
                changed.append(clean)
        return {"messages": changed, ATTACHED: named} if changed or len(named) > known else None

    async def abefore_model(
        self, state: AttachedImagesState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        """Like `before_model`, without blocking the event loop."""
        return await asyncio.to_thread(self.before_model, state, runtime)

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Show the images to a model that sees them."""
        return handler(self._shown(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Like `wrap_model_call`, without blocking the event loop."""
        return await handler(await asyncio.to_thread(self._shown, request))

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Keep the images of a tool's answer before it is in the state."""
        kept: ToolMessage | Command[Any] = self._kept(request, handler(request))
        return kept

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Like `wrap_tool_call`, without blocking the event loop."""
        return await asyncio.to_thread(self._kept, request, await handler(request))

    def _shown(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        if not self._show:
            return request
        named = sources(cast("AttachedImagesState", request.state).get(ATTACHED))
        shown = [with_images(message, named, self._settings) for message in request.messages]
        return request.override(messages=shown)

    def _kept(self, request: ToolCallRequest, answer: Any) -> Any:  # noqa: ANN401
        """The answer with references; `before_model` takes over what they stand for."""
        if isinstance(answer, list):  # of commands and messages
            return [self._kept(request, one) for one in answer]
        if isinstance(answer, BaseMessage):
            state = request.state if isinstance(request.state, Mapping) else {}
            return without_bytes(answer, sources(state.get(ATTACHED)), self._settings)[0]
        update = answer.update
        if isinstance(update, Mapping) and isinstance(update.get("messages"), list):
            messages = [
                self._kept(request, one) if isinstance(one, BaseMessage) else one
                for one in update["messages"]
            ]
            return replace(answer, update={**update, "messages": messages})
        return answer
