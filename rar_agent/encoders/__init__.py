"""Encoders: images and texts into one joint embedding space."""

from rar_agent.encoders.base import Encoder, Fingerprint, FloatArray
from rar_agent.encoders.load import Choice, choose_encoder, load_encoder

__all__ = ["Choice", "Encoder", "Fingerprint", "FloatArray", "choose_encoder", "load_encoder"]
