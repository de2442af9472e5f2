"""What an exported memory looks like, for writing and for reading it.

FOLDER/memory.json         what the memory is, and the sha256 of the other files
FOLDER/categories.parquet  a row a category
FOLDER/entries.parquet     a row an entry
FOLDER/vectors.npy         (n, d) little-endian float32, a row an entry, in the same order
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from rar_agent.memory.exchange.parts import library
from rar_agent.memory.format.manifest import (
    MOST_CATEGORIES,
    MOST_DIMENSIONS,
    Count,
    EncoderRecord,
    PriorRecord,
    Record,
)

DESCRIPTION, CATEGORIES, ENTRIES, VECTORS = (
    "memory.json",
    "categories.parquet",
    "entries.parquet",
    "vectors.npy",
)


class ExportedFile(Record):
    """What memory.json says of another file."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: Count
    """Bytes."""


class Exported(Record):
    """memory.json."""

    format: Literal["rar-agent-memory"] = "rar-agent-memory"
    version: Literal[1] = 1
    created_by: str
    """`rar-agent` and its version."""
    name: str
    """The memory's name where it was exported."""
    domain: str
    encoder: EncoderRecord
    """With the templates that names were put into."""
    dimension: int = Field(ge=1, le=MOST_DIMENSIONS)
    thumbnails: int = Field(ge=0, le=1_000_000)
    """Longer side of the pictures kept of images, in pixels; 0 where none are."""
    fixed: bool
    """A memory that may not be taught."""
    prior: PriorRecord | None = None
    """How often categories are met; None: equally often."""
    categories: int = Field(ge=0, lt=MOST_CATEGORIES)
    entries: Count
    files: dict[Literal["categories.parquet", "entries.parquet", "vectors.npy"], ExportedFile]


def categories_schema() -> Any:  # noqa: ANN401 - pyarrow has no types
    """Columns of categories.parquet; the metadata are JSON."""
    pa = library("pyarrow")
    return pa.schema(
        [
            pa.field("name", pa.string(), nullable=False),
            pa.field("aliases", pa.list_(pa.string()), nullable=False),
            pa.field("description", pa.string(), nullable=False),
            pa.field("parent", pa.string(), nullable=False),
            pa.field("metadata", pa.string(), nullable=False),
        ]
    )


def entries_schema() -> Any:  # noqa: ANN401
    """Columns of entries.parquet; an entry without a thumbnail has none there."""
    pa = library("pyarrow")
    return pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("category", pa.string(), nullable=False),
            pa.field("modality", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("content", pa.string(), nullable=False),
            pa.field("length", pa.float32(), nullable=False),
            pa.field("bias", pa.float32(), nullable=False),
            pa.field("thumbnail", pa.binary(), nullable=True),
        ]
    )
