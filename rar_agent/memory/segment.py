"""Segments: batches of entries as three immutable files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.errors import DamagedDataError
from rar_agent.memory.generation import advice, write_file
from rar_agent.memory.manifest import ENTRY, MODALITIES, FileRef, SegmentRef
from rar_agent.types import Modality


@dataclass(frozen=True)
class NewEntry:
    """An entry about to be written.

    Attributes:
        category: Id of its category.
        modality: What the vector was made from.
        content: sha256 hex digest of the image's bytes or of the text.
        source: Path, text or row name, for people.
        length: Of the row before normalisation.
        bias: Of a linear classifier's row.
    """

    category: int
    modality: Modality
    content: str
    source: str
    length: float = 1.0
    bias: float = 0.0


def text_content(text: str) -> str:
    """The content hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_segment(
    folder: Path, first_id: int, entries: Sequence[NewEntry], vectors: FloatArray
) -> SegmentRef:
    """Write entries and their (n, d) unit vectors; ids count up from `first_id`."""
    rows = np.zeros(len(entries), ENTRY)
    sources = [entry.source.encode() for entry in entries]
    sizes = np.array([len(source) for source in sources], np.int64)
    rows["id"] = np.arange(first_id, first_id + len(entries))
    rows["category"] = [entry.category for entry in entries]
    rows["modality"] = [MODALITIES.index(entry.modality) for entry in entries]
    rows["length"] = [entry.length for entry in entries]
    rows["bias"] = [entry.bias for entry in entries]
    rows["source_start"] = np.cumsum(sizes) - sizes
    rows["source_size"] = sizes
    rows["content"] = [np.void(bytes.fromhex(entry.content)) for entry in entries]
    raw = np.ascontiguousarray(vectors, dtype="<f4")
    return SegmentRef(
        count=len(entries),
        vectors=write_file(folder, raw.tobytes(), "vectors"),
        entries=write_file(folder, rows.tobytes(), "entries"),
        sources=write_file(folder, b"".join(sources), "sources"),
    )


@dataclass(frozen=True)
class Segment:
    """A segment, memory-mapped.

    Attributes:
        vectors: (n, d) float32.
        entries: (n,) of `ENTRY`.
        sources: Texts, one after another.
    """

    vectors: FloatArray
    entries: NDArray[np.void]
    sources: NDArray[np.uint8]

    def source(self, row: int) -> str:
        """Where the entry of a row came from."""
        start = int(self.entries["source_start"][row])
        end = start + int(self.entries["source_size"][row])
        return self.sources[start:end].tobytes().decode(errors="replace")


def open_segment(folder: Path, ref: SegmentRef, dimension: int) -> Segment:
    """Map a segment's files after checking their sizes.

    Raises:
        DamagedDataError: A file is missing or has another size than the manifest says.
    """
    vectors = map_array(folder, ref.vectors, np.dtype("<f4"), ref.count * dimension)
    entries = map_array(folder, ref.entries, ENTRY, ref.count)
    sources = map_array(folder, ref.sources, np.dtype("u1"), ref.sources.size)
    ends = entries["source_start"].astype(np.int64) + entries["source_size"]
    if (
        (entries["modality"] >= len(MODALITIES)).any()
        or (entries["source_start"] < 0).any()
        or (entries["source_size"] < 0).any()
        or (ends > ref.sources.size).any()
    ):
        raise DamagedDataError(
            f"The entries {ref.entries.name[:12]} of memory '{folder.name}' are damaged.",
            f"Run: rar-agent memory verify {folder.name}, which says which file.",
        )
    return Segment(vectors.reshape(ref.count, dimension), entries, sources)


def map_array(folder: Path, ref: FileRef, dtype: np.dtype, count: int) -> NDArray:  # type: ignore[type-arg]
    """Memory-map `count` items of a file.

    Raises:
        DamagedDataError: It is missing or has another size.
    """
    path = folder / "data" / ref.name
    size = path.stat().st_size if path.is_file() else -1
    if size != ref.size or size != count * dtype.itemsize:
        found = f"has {size} bytes" if size >= 0 else "is missing"
        raise DamagedDataError(
            f"{path} {found}; {count * dtype.itemsize} bytes were written.",
            advice(folder),
        )
    return np.memmap(path, dtype=dtype, mode="r") if size else np.empty(0, dtype)
