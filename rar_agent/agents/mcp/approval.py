"""A person's approval, asked for through the client (MCP's elicitation)."""

from __future__ import annotations

from typing import Any

from mcp.server.session import ServerSession
from mcp.shared.context import RequestContext
from mcp.shared.exceptions import McpError
from mcp.types import ClientCapabilities, ElicitationCapability

from rar_agent.agents.teaching import Lesson
from rar_agent.agents.untrusted import plain
from rar_agent.errors import InputError


async def approve(
    lesson: Lesson, context: RequestContext[ServerSession, Any, Any]
) -> tuple[str, str]:
    """Ask whoever sits at the client; nothing is written without their consent.

    Returns:
        Name and description of the category, as they left them.

    Raises:
        InputError: The client cannot ask, or they did not approve.
    """
    asks = ClientCapabilities(elicitation=ElicitationCapability())
    if not context.session.check_client_capability(asks):
        raise InputError(
            "Not taught: this client cannot ask a person for approval (elicitation).",
            f"A person can teach it: rar-agent memory add {lesson.memory} --images FOLDER",
        )
    images = ", ".join(plain(image.name, 200) for image in lesson.images)
    form = {
        "type": "object",
        "properties": {
            "category": {"type": "string", "title": "Category", "default": lesson.category.name},
            "description": {
                "type": "string",
                "title": "Description",
                "default": lesson.category.description,
            },
        },
        "required": ["category"],
    }
    try:
        answer = await context.session.elicit_form(
            f"{lesson} Images: {images}", form, related_request_id=context.request_id
        )
    except McpError as error:
        raise InputError(f"Not taught: the client did not ask: {error}.") from error
    if answer.action != "accept":
        raise InputError(f"Not taught: the person who was asked said {answer.action}.")
    said = answer.content or {}
    return (
        str(said.get("category") or lesson.category.name),
        str(said.get("description", lesson.category.description)),
    )
