"""Ray Data: images are encoded and recognised by actors, here or on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["RayEngine", "make_engine"]

if TYPE_CHECKING:
    from rar_agent.scale.ray.engine import RayEngine, make_engine


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'rar_agent.scale.ray' has no attribute {name!r}")
    from rar_agent.scale.ray import engine  # actors import other modules, and not what it needs

    return getattr(engine, name)
