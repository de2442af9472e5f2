"""Engines: what runs the image half of an encoder, from pixels to features."""

from rar_agent.encoders.engines.base import Engine, EngineName, class_of
from rar_agent.encoders.engines.make import Source, make_engine
from rar_agent.encoders.engines.torch_engine import DTYPES, TorchEngine, autocast

__all__ = [
    "DTYPES",
    "Engine",
    "EngineName",
    "Source",
    "TorchEngine",
    "autocast",
    "class_of",
    "make_engine",
]
