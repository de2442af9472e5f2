"""What a manifest says of encoders in lower precisions."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DriftRecord(BaseModel):
    """How far an encoder in a lower precision answers as the memory's own does."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    precision: str = Field(pattern=r"^(bf16|fp16|int8-[0-9a-f]{8})$")
    """Of the encoder; for int8 which quantised model."""
    engine: Literal["torch", "compile", "openvino"]
    """What ran it."""
    device: str = Field(max_length=100)
    """Torch device that it ran on."""
    images: int = Field(ge=1)
    """That were compared."""
    of: str = Field(max_length=1_000)
    """What they are, in words."""
    top1: float = Field(ge=0, le=1)
    """Share of them with the same likeliest category."""
    low: float = Field(ge=0, le=1)
    """Of the 95 % interval of that share, by Wilson, 0 to 1."""
    high: float = Field(ge=0, le=1)
    difference: float = Field(ge=0, le=1)
    """The largest difference of the probability of the likeliest category."""
    created: str = Field(max_length=100)
    """UTC, ISO 8601."""
    entries: int = Field(ge=0, le=1 << 53)
    """Exemplars that there were."""
    next_entry: int = Field(ge=0, le=1 << 53)
    """Ids from here on were learnt later."""

    @property
    def precision_class(self) -> str:
        """The class: `int8` of `int8-3fa94c2e`."""
        return self.precision.partition("-")[0]
