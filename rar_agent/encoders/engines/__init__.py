"""Engines: what runs the image half of an encoder, from pixels to features.

What imports torch is in modules of its own, since a memory is written without it.
"""

from rar_agent.encoders.engines.base import Engine, EngineName, class_of

__all__ = ["Engine", "EngineName", "class_of"]
