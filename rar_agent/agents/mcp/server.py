"""The server: what it offers, whatever the transport."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from mcp.server.lowlevel import Server
from mcp.shared.exceptions import McpError
from mcp.types import (
    INTERNAL_ERROR,
    CallToolRequest,
    ErrorData,
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
from rar_agent.errors import RarError
from rar_agent.settings import Settings
from rar_agent.telemetry import events

_T = TypeVar("_T")

_INSTRUCTIONS = (
    "Tells which one exactly an image shows (species, model, dish, part, product) among the "
    "categories of a memory. Call recognize_image with the path of the image file, instead of "
    "guessing from the image. list_memories says what is known."
)
_log = events(__name__)


def build_server(
    settings: Settings, remote: bool = False, teach: bool = False, loaded: bool = False
) -> Server[dict[str, Any], Any]:
    """The server with its tools and resources.

    Args:
        settings: What to ask, and what may be read.
        remote: Whether clients may be on another machine, as over HTTP.
        teach: Whether they may propose to teach the settings' memory.
        loaded: Whether that memory and its encoder are loaded now, not when they are first asked.

    Raises:
        NotFoundError: There is no such memory; with `loaded`, as all below.
        DamagedDataError: It cannot be opened.
        FingerprintMismatchError: What is on disk is another encoder than the memory's.
        ConfigurationError: The encoder cannot be loaded.
    """
    server: Server[dict[str, Any], Any] = Server(
        "rar-agent", rar_agent.__version__, instructions=_INSTRUCTIONS
    )
    tools = Tools(settings.for_others if remote else settings, remote, teach)
    if loaded:
        _ = tools.recognizers.of().services.encoder

    async def list_tools(_: ListToolsRequest) -> ServerResult:
        return ServerResult(ListToolsResult(tools=await _told(tools, tools.listed())))

    async def call_tool(request: CallToolRequest) -> ServerResult:
        asked = request.params
        try:
            called = tools.call(asked.name, asked.arguments or {}, server.request_context)
            return ServerResult(await called)
        except Exception as error:
            _log.error("a bug", error, tool=asked.name)
            return ServerResult(failed(_bug(error)))

    async def list_resources(_: ListResourcesRequest) -> ServerResult:
        found = await _told(tools, listed(tools))
        return ServerResult(ListResourcesResult(resources=found))

    async def list_templates(_: ListResourceTemplatesRequest) -> ServerResult:
        return ServerResult(ListResourceTemplatesResult(resourceTemplates=templates()))

    async def read_resource(request: ReadResourceRequest) -> ServerResult:
        return ServerResult(await _told(tools, read(request.params.uri, tools)))

    # The SDK's decorators for these have no types.
    server.request_handlers |= {
        ListToolsRequest: list_tools,
        CallToolRequest: call_tool,
        ListResourcesRequest: list_resources,
        ListResourceTemplatesRequest: list_templates,
        ReadResourceRequest: read_resource,
    }
    return server


async def _told(tools: Tools, work: Coroutine[Any, Any, _T]) -> _T:
    """The result of some work; what goes wrong is told as the protocol has it, and shows nothing.

    The SDK itself would send the text of any exception.

    Raises:
        McpError: It went wrong.
    """
    try:
        return await work
    except McpError as error:
        raise McpError(
            ErrorData(code=error.error.code, message=tools.shown(error.error.message))
        ) from error
    except RarError as error:
        raise McpError(ErrorData(code=INTERNAL_ERROR, message=tools.shown(str(error)))) from error
    except Exception as error:
        _log.error("a bug", error)
        raise McpError(ErrorData(code=INTERNAL_ERROR, message=_bug(error))) from error


def _bug(error: Exception) -> str:
    return f"A bug in rar-agent: {type(error).__name__}. Its log has more."
