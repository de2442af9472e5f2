"""The memory's format, version 1: what a generation says about itself.

    NAME/CURRENT                  which generation is valid, and the sha256 of its manifest
    NAME/generations/000007.json  the manifest
    NAME/data/<sha256>.<kind>     immutable files, named by their content
    NAME/writer.lock              held by the one writer

A segment is three files: `vectors` (raw little-endian float32, row after row), `entries` (rows of
`ENTRY`) and `sources` (UTF-8 texts, found by the offsets in the entries).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rar_agent.types import Modality

FORMAT_VERSION = 1

MODALITIES: tuple[Modality, ...] = ("image", "text", "head")
"""An entry's modality is stored as its position here."""

ENTRY = np.dtype(
    [
        ("id", "<i8"),
        ("category", "<i4"),
        ("modality", "u1"),
        ("reserved", "V3"),
        ("length", "<f4"),  # of the row before normalisation; 1 but for head entries
        ("bias", "<f4"),  # of the linear classifier; 0 but for head entries
        ("source_start", "<i8"),
        ("source_size", "<i4"),
        ("reserved2", "V4"),
        ("content", "V32"),  # sha256 of the image's bytes or of the text
    ]
)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FileRef(_Record):
    """An immutable file under `data/`."""

    name: str = Field(pattern=r"^[0-9a-f]{64}\.[a-z0-9]+$")
    size: int = Field(ge=0)
    """Bytes."""

    @property
    def sha256(self) -> str:
        """The content's hash, which is also its name."""
        return self.name.partition(".")[0]


class SegmentRef(_Record):
    """One batch of entries."""

    count: int = Field(ge=1)
    vectors: FileRef
    entries: FileRef
    sources: FileRef


class EncoderRecord(_Record):
    """The encoder that made the vectors."""

    name: str
    details: dict[str, str]
    precision: str
    text_scale: float
    """Factor from image-text cosines to logits."""
    names_help: bool
    """Whether names are used without being asked."""
    templates: tuple[str, ...]
    """Texts that a name is put into, averaged; `{}` stands for the name."""


class FitRecord(_Record):
    """How categories are scored from exemplars, and what was measured when that was chosen."""

    rule: Literal["leave-one-out", "few-exemplars"]
    """`few-exemplars`: too few to choose on; nearest prototype with fixed scales."""
    feature_map: Literal["identity", "root"]
    """`root`: square root of the features, then length 1 (Hellinger)."""
    shrinkage: float = Field(ge=0, le=1)
    """Towards a spherical covariance; at 1 the nearest mean decides."""
    image_scale: float
    """Factor of the image scores in the logits."""
    text_weight: float
    """Factor of the text logits."""
    calibrated: bool
    loo_images: int = 0
    """Exemplars that were left out, one by one."""
    loo_top1: float | None = None
    """Share of them recognised, by images alone."""
    loo_ece: float | None = None
    """Expected calibration error over them, 15 bins, 0 to 1."""
    similarity_floor: float | None = None
    """Least cosine of an exemplar with its nearest other exemplar."""
    categories: FileRef
    """Category ids (<i4) of the rows below."""
    weights: FileRef
    """(c, d) little-endian float32: linear classifier of the mapped features."""
    biases: FileRef
    """(c,) little-endian float32."""


class Manifest(_Record):
    """One generation of a memory."""

    format_version: Literal[1] = 1
    name: str
    generation: int = Field(ge=1)
    created: str
    """UTC, ISO 8601."""
    created_by: str
    """`rar-agent` and its version."""
    state: Literal["building", "ready"]
    build: str = ""
    """While building: hash of what is being learnt, so that only the same build goes on."""
    fixed: bool = False
    """A ready memory that may not be taught."""
    domain: str = ""
    """What kind of categories these are, for the ranking prompt: `bird species`."""
    encoder: EncoderRecord
    dimension: int = Field(ge=1)
    categories: FileRef
    category_count: int = Field(ge=0)
    next_category: int = Field(ge=0)
    next_entry: int = Field(ge=0)
    segments: tuple[SegmentRef, ...]
    tombstones: FileRef | None = None
    """Ids (<i8) of removed entries."""
    fit: FitRecord | None = None

    def files(self) -> list[FileRef]:
        """Every file that this generation needs."""
        refs = [self.categories]
        for segment in self.segments:
            refs += [segment.vectors, segment.entries, segment.sources]
        if self.tombstones:
            refs.append(self.tombstones)
        if self.fit:
            refs += [self.fit.categories, self.fit.weights, self.fit.biases]
        return refs
