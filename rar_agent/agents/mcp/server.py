"""The server: what it offers, whatever the transport."""

from __future__ import annotations

from typing import Any

from mcp.server.lowlevel import Server
from mcp.types import (
    CallToolRequest,
    ListResourcesRequest,
    ListResourcesResult,
    ListResourceTemplatesRequest,
    ListResourceTemplatesResult,
    ListToolsRequest,
    ListToolsResult,
    ReadResourceRequest,
    ServerResult,
)

import rar_agent
from rar_agent.agents.mcp.resources import listed, read, templates
from rar_agent.agents.mcp.tools import Tools, failed
from rar_agent.settings import Settings
from rar_agent.telemetry import events

_INSTRUCTIONS = (
    "Tells which one exactly an image shows (species, model, dish, part, product) among the "
    "categories of a memory. Call recognize_image with the path of the image file, instead of "
    "guessing from the image. list_memories says what is known."
)
_log = events(__name__)


def build_server(
    settings: Settings, remote: bool = False, teach: bool = False
) -> Server[dict[str, Any], Any]:
    """The server with its tools and resources; nothing is loaded before it is asked something.

    Args:
        settings: What to ask, and what may be read.
        remote: Whether clients may be on another machine, as over HTTP.
        teach: Whether they may propose to teach the settings' memory.
    """
    server: Server[dict[str, Any], Any] = Server(
        "rar-agent", rar_agent.__version__, instructions=_INSTRUCTIONS
    )
    tools = Tools(settings, remote, teach)

    async def list_tools(_: ListToolsRequest) -> ServerResult:
        return ServerResult(ListToolsResult(tools=await tools.listed()))

    async def call_tool(request: CallToolRequest) -> ServerResult:
        asked = request.params
        try:
            called = tools.call(asked.name, asked.arguments or {}, server.request_context)
            return ServerResult(await called)
        except Exception as error:
            _log.error("a bug", error, tool=asked.name)
            said = f"A bug in rar-agent: {type(error).__name__}. Its log has more."
            return ServerResult(failed(said))

    async def list_resources(_: ListResourcesRequest) -> ServerResult:
        return ServerResult(ListResourcesResult(resources=await listed(tools.recognizers)))

    async def list_templates(_: ListResourceTemplatesRequest) -> ServerResult:
        return ServerResult(ListResourceTemplatesResult(resourceTemplates=templates()))

    async def read_resource(request: ReadResourceRequest) -> ServerResult:
        return ServerResult(await read(request.params.uri, tools.recognizers))

    # The SDK's decorators for these have no types.
    server.request_handlers |= {
        ListToolsRequest: list_tools,
        CallToolRequest: call_tool,
        ListResourcesRequest: list_resources,
        ListResourceTemplatesRequest: list_templates,
        ReadResourceRequest: read_resource,
    }
    return server
