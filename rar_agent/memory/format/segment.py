"""Segments: batches of entries of one modality, as a few immutable files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.errors import DamagedDataError
from rar_agent.memory.format.files import DATA, FileWriter, map_array, write_file, writing
from rar_agent.memory.format.manifest import (
    ENTRY,
    MODALITIES,
    FileRef,
    SegmentRef,
    ThumbnailsRef,
)
from rar_agent.memory.format.opened import damaged
from rar_agent.memory.format.origin import Bytes, Rows, origin_of
from rar_agent.types import Modality

Kind = Literal["vectors", "entries", "sources", "thumbnails"]


@dataclass(frozen=True)
class NewEntry:
    """An entry about to be written.

    Attributes:
        category: Id of its category.
        content: sha256 hex digest of the image's bytes or of the text.
        source: Path, text or row name, for people.
        length: Of the row before normalisation.
        bias: Of a linear classifier's row.
        thumbnail: A small JPEG of the image, or empty.
    """

    category: int
    content: str
    source: str
    length: float = 1.0
    bias: float = 0.0
    thumbnail: bytes = b""


def text_content(text: str) -> str:
    """The content hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Segment:
    """A segment, memory-mapped, but for what is kept elsewhere.

    Attributes:
        vectors: (n, d) float32.
        entries: (n,) of `ENTRY`.
        sources: Texts, one after another.
        thumbnails: Offsets (n + 1) and bytes of small JPEGs, or None.
    """

    vectors: Rows
    entries: NDArray[np.void]
    sources: NDArray[np.uint8]
    thumbnails: tuple[NDArray[np.int64], Bytes] | None = None

    @property
    def mapped(self) -> FloatArray | None:
        """The vectors, where they are mapped; None where they are kept elsewhere."""
        return self.vectors if isinstance(self.vectors, np.ndarray) else None

    @property
    def is_here(self) -> bool:
        """Whether the vectors are mapped, and not kept elsewhere."""
        return self.mapped is not None

    def damaged(self, kind: Kind, why: str) -> DamagedDataError:
        """The error of a file of it that is damaged."""
        return DamagedDataError(f"The {kind} of a segment are damaged: {why}.")

    def source(self, row: int) -> str:
        """Where the entry of a row came from."""
        return self._source(row).decode(errors="replace")

    def thumbnail(self, row: int) -> bytes:
        """A small JPEG of the row's image; empty where none is kept."""
        if self.thumbnails is None:
            return b""
        offsets, images = self.thumbnails
        start, end = int(offsets[row]), int(offsets[row + 1])
        if not 0 <= start <= end <= len(images):
            raise self.damaged(
                "thumbnails", f"picture {row} is at {start} to {end} of {len(images)}"
            )
        return images[start:end].tobytes()

    def take(self, rows: NDArray[np.int64]) -> Part:
        """Some of its rows, to be written elsewhere."""
        return Part(
            self.entries[rows],
            np.asarray(self.vectors[rows]),
            [self._source(int(row)) for row in rows],
            [self.thumbnail(int(row)) for row in rows],
        )

    def _source(self, row: int) -> bytes:
        entry = self.entries[row]
        start = int(entry["source_start"])
        end = start + int(entry["source_size"])
        if not 0 <= start <= end <= len(self.sources):
            raise self.damaged(
                "sources", f"source {row} is at {start} to {end} of {len(self.sources)}"
            )
        return self.sources[start:end].tobytes()


@dataclass(frozen=True)
class OpenSegment(Segment):
    """A segment of a generation.

    Attributes:
        ref: What the manifest says of it.
        folder: The memory's.
    """

    ref: SegmentRef = field(kw_only=True)
    folder: Path = field(kw_only=True)

    def damaged(self, kind: Kind, why: str) -> DamagedDataError:
        """The error of a file of it that is damaged."""
        refs = {"vectors": [self.ref.vectors], "entries": [self.ref.entries]}
        refs["sources"] = [self.ref.entries, self.ref.sources]
        if self.ref.thumbnails:
            refs["thumbnails"] = [self.ref.thumbnails.offsets, self.ref.thumbnails.images]
        names = [ref.name for ref in refs[kind]]
        return damaged(self.folder, f"{DATA}/{names[0]}", ", in ".join([why, *names[1:]]))


@dataclass(frozen=True)
class Part:
    """Rows on their way into a segment: entries, vectors, sources and thumbnails."""

    entries: NDArray[np.void]
    vectors: FloatArray
    sources: list[bytes]
    thumbnails: list[bytes]


def part_of(
    first_id: int, modality: Modality, entries: Sequence[NewEntry], vectors: FloatArray
) -> Part:
    """New entries and their (n, d) unit vectors; ids count up from `first_id`."""
    rows = np.zeros(len(entries), ENTRY)
    rows["id"] = np.arange(first_id, first_id + len(entries))
    rows["category"] = [entry.category for entry in entries]
    rows["modality"] = MODALITIES.index(modality)
    rows["length"] = [entry.length for entry in entries]
    rows["bias"] = [entry.bias for entry in entries]
    rows["content"] = [np.void(bytes.fromhex(entry.content)) for entry in entries]
    sources = [entry.source.encode(errors="replace") for entry in entries]
    return Part(rows, vectors, sources, [entry.thumbnail for entry in entries])


class SegmentWriter:
    """Writes a segment part by part, so that memory use does not grow with its size.

    Attributes:
        count: Rows so far.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._vectors = stack.enter_context(writing(folder, "vectors"))
        self._entries = stack.enter_context(writing(folder, "entries"))
        self._sources = stack.enter_context(writing(folder, "sources"))
        self._images: FileWriter | None = None  # only where there are any
        self._stack = stack
        self._source_end = 0
        self._ids: list[tuple[int, int]] = []
        self._sizes: list[NDArray[np.int64]] = []
        self.count = 0

    def append(self, part: Part) -> None:
        """Add rows at the end."""
        if not len(part.entries):
            return
        rows = part.entries.copy()
        sizes = np.array([len(source) for source in part.sources], np.int64)
        rows["source_start"] = self._source_end + np.cumsum(sizes) - sizes
        rows["source_size"] = sizes
        self._source_end += int(sizes.sum())
        self._vectors.write(part.vectors.astype("<f4").tobytes())
        self._entries.write(rows.tobytes())
        self._sources.write(b"".join(part.sources))
        if self._images is None and any(part.thumbnails):
            self._images = self._stack.enter_context(writing(self._folder, "jpegs"))
        if self._images is not None:
            self._images.write(b"".join(part.thumbnails))
        self._sizes.append(np.array([len(image) for image in part.thumbnails], np.int64))
        self._ids.append((int(rows["id"].min()), int(rows["id"].max())))
        self.count += len(rows)

    def ref(self, modality: Modality) -> SegmentRef:
        """What the manifest will say, once the files are finished."""
        thumbnails = None
        if self._images is not None:
            ends = np.cumsum(np.concatenate([np.zeros(1, np.int64), *self._sizes]))
            offsets = write_file(self._folder, ends.astype("<i8").tobytes(), "offsets")
            thumbnails = ThumbnailsRef(offsets=offsets, images=self._images.ref)
        return SegmentRef(
            modality=modality,
            count=self.count,
            first_id=min(first for first, _ in self._ids),
            last_id=max(last for _, last in self._ids),
            vectors=self._vectors.ref,
            entries=self._entries.ref,
            sources=self._sources.ref,
            thumbnails=thumbnails,
        )


@contextmanager
def segment_writer(folder: Path) -> Iterator[SegmentWriter]:
    """Open a segment for writing; ask for its `ref` after the block."""
    with ExitStack() as stack:
        yield SegmentWriter(folder, stack)


def write_segment(
    folder: Path,
    first_id: int,
    modality: Modality,
    entries: Sequence[NewEntry],
    vectors: FloatArray,
) -> SegmentRef:
    """Write new entries and their (n, d) unit vectors; ids count up from `first_id`."""
    with segment_writer(folder) as writer:
        writer.append(part_of(first_id, modality, entries, vectors))
    return writer.ref(modality)


def open_segment(folder: Path, ref: SegmentRef, dimension: int) -> OpenSegment:
    """Map a segment's files after checking their sizes; what is kept elsewhere is read later.

    What the rows say of other files is checked where it is used: reading all of them would make
    opening a large memory slow.

    Raises:
        DamagedDataError: A file is missing or has another size than the manifest says.
    """
    entries = map_array(folder, ref.entries, ENTRY, ref.count)
    origin = origin_of(folder)
    vectors: Rows
    if origin is not None and not (folder / DATA / ref.vectors.name).exists():
        vectors = origin.vectors(entries, dimension)
    else:
        flat = map_array(folder, ref.vectors, np.dtype("<f4"), ref.count * dimension)
        vectors = flat.reshape(ref.count, dimension)
    sources = map_array(folder, ref.sources, np.dtype("u1"), ref.sources.size)
    thumbnails = None
    if ref.thumbnails:
        offsets = map_array(folder, ref.thumbnails.offsets, np.dtype("<i8"), ref.count + 1)
        thumbnails = offsets, _pictures(folder, ref.thumbnails.images)
    segment = OpenSegment(vectors, entries, sources, thumbnails, ref=ref, folder=folder)
    if (entries["modality"] != MODALITIES.index(ref.modality)).any():
        raise segment.damaged("entries", f"not all are of the modality {ref.modality}")
    return segment


def _pictures(folder: Path, ref: FileRef) -> Bytes:
    origin = origin_of(folder)
    if origin is not None and not (folder / DATA / ref.name).exists():
        return origin.pictures(ref)
    return map_array(folder, ref, np.dtype("u1"), ref.size)
