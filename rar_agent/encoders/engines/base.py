"""The protocol of engines."""

from __future__ import annotations

from typing import Literal, Protocol

from rar_agent.encoders.base import FloatArray, Pixels

EngineName = Literal["torch", "compile", "openvino"]

ENGINES: tuple[EngineName, ...] = ("torch", "compile", "openvino")


class Engine(Protocol):
    """Runs one network on one device in one precision. Implementations are thread-safe."""

    @property
    def name(self) -> EngineName:
        """Which engine it is."""

    @property
    def precision(self) -> str:
        """`fp32`, `bf16`, `fp16`, or `int8-` and 8 hex digits of the quantised model's sha256."""

    @property
    def load_s(self) -> float:
        """Seconds that it took to be ready."""

    def run(self, pixels: Pixels) -> FloatArray:
        """(n, h, w, 3) uint8 → (n, d) float32, not normalised."""


def reason(error: Exception) -> str:
    """Why a library failed, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def class_of(precision: str) -> str:
    """The class of a precision: `int8` of `int8-3fa94c2e`."""
    return precision.partition("-")[0]
