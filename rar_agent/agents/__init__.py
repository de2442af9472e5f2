"""`recognize_image` for agents, the tools beside it, and images in their conversations.

Imported on first use: the MCP server needs none of LangChain before it is asked something.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

_HOMES = {
    "AgentContext": "recognizers",
    "AttachedImagesMiddleware": "middleware",
    "attach": "references",
    "build_agent": "build",
    "make_field_guide": "build",
    "make_recognize_image": "tool",
    "make_toolkit": "toolkit",
    "recognize_image": "tool",
}

__all__ = [
    "AgentContext",
    "AttachedImagesMiddleware",
    "attach",
    "build_agent",
    "make_field_guide",
    "make_recognize_image",
    "make_toolkit",
    "recognize_image",
]

if TYPE_CHECKING:
    from rar_agent.agents.build import build_agent, make_field_guide
    from rar_agent.agents.middleware import AttachedImagesMiddleware
    from rar_agent.agents.recognizers import AgentContext
    from rar_agent.agents.references import attach
    from rar_agent.agents.tool import make_recognize_image, recognize_image
    from rar_agent.agents.toolkit import make_toolkit


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rar_agent.agents' has no attribute {name!r}")
    return getattr(import_module(f"rar_agent.agents.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
