"""The state machine: admit → retrieve → rank → conclude."""

from rar_agent.graph.build import build_recognize
from rar_agent.graph.context import Context
from rar_agent.graph.services import Services
from rar_agent.graph.state import RecognizeInput, RecognizeOutput, RecognizeState

__all__ = [
    "Context",
    "RecognizeInput",
    "RecognizeOutput",
    "RecognizeState",
    "Services",
    "build_recognize",
]
