"""The state machine: admit → retrieve → rank → conclude."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rar_agent.graph.context import Context
from rar_agent.graph.services import Services

_HOMES = {
    "RecognizeInput": "state",
    "RecognizeOutput": "state",
    "RecognizeState": "state",
    "build_recognize": "build",
}

if TYPE_CHECKING:
    from rar_agent.graph.build import build_recognize
    from rar_agent.graph.state import RecognizeInput, RecognizeOutput, RecognizeState

__all__ = [
    "Context",
    "RecognizeInput",
    "RecognizeOutput",
    "RecognizeState",
    "Services",
    "build_recognize",
]


def __getattr__(name: str) -> object:
    """LangGraph takes a second to import, and where no model is asked nothing needs it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rar_agent.graph' has no attribute {name!r}")
    return getattr(import_module(f"rar_agent.graph.{_HOMES[name]}"), name)
