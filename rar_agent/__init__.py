"""Recognise which one exactly it is, among thousands of categories.

The public API; everything is imported on first use, so `import rar_agent` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "AttachedImagesMiddleware": "agents",
    "Candidate": "types",
    "Category": "types",
    "Detection": "types",
    "Detections": "types",
    "Failure": "types",
    "Memory": "memory",
    "RarError": "errors",
    "Recognition": "types",
    "Recognizer": "recognizer",
    "Settings": "settings",
    "attach": "agents",
    "make_recognize_image": "agents",
    "make_toolkit": "agents",
    "recognize_image": "agents",
    "trace_without_images": "telemetry",
}

__all__ = [
    "AttachedImagesMiddleware",
    "Candidate",
    "Category",
    "Detection",
    "Detections",
    "Failure",
    "Memory",
    "RarError",
    "Recognition",
    "Recognizer",
    "Settings",
    "__version__",
    "attach",
    "make_recognize_image",
    "make_toolkit",
    "recognize_image",
    "trace_without_images",
]

if TYPE_CHECKING:
    from rar_agent.agents import (
        AttachedImagesMiddleware,
        attach,
        make_recognize_image,
        make_toolkit,
        recognize_image,
    )
    from rar_agent.errors import RarError
    from rar_agent.memory import Memory
    from rar_agent.recognizer import Recognizer
    from rar_agent.settings import Settings
    from rar_agent.telemetry import trace_without_images
    from rar_agent.types import (
        Candidate,
        Category,
        Detection,
        Detections,
        Failure,
        Recognition,
    )


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rar_agent' has no attribute {name!r}")
    from rar_agent.garbage import uncollected

    with uncollected():  # it may import LangGraph
        return getattr(import_module(f"rar_agent.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
