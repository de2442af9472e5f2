"""How images are seen while teaching: read, prepared and encoded, here or by an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rar_agent.encoders import Encoder, FloatArray
from rar_agent.encoders.base import Pixels
from rar_agent.images import AdmittedImage, ImageSource, Policy, read_batches
from rar_agent.memory.readers import Reader, Sample
from rar_agent.memory.teaching.exemplars import Views, encode_exemplars, thumbnail, views_of
from rar_agent.types import Failure

BATCH = 64
"""Images read before they are encoded, fewer where they are large."""
CPU_BATCH = 16
"""The same on a CPU, which is no slower in small batches: what is done is told and kept sooner."""

Item = tuple[int, Sample]
"""A sample with an image, and the id of its category."""
Knows = Callable[[Item, str], bool]
"""Whether an item's image, of this sha256, is known already and not needed again."""


@dataclass(frozen=True)
class Seen:
    """What is needed of an image that was read; the image itself is not kept.

    Attributes:
        sha256: Of its bytes.
        thumbnail: A small JPEG, or empty.
        views: Prepared, where it is still to be encoded.
        vector: (d,) of length 1, where it was.
    """

    sha256: str
    thumbnail: bytes
    views: Sequence[Pixels] = ()
    vector: FloatArray | None = None


class Seeing(Protocol):
    """Who sees the images of one teaching."""

    def samples(self, reader: Reader) -> Iterator[Sample | Failure]:
        """The reader's samples, in order."""

    def batches(
        self, items: Iterable[Item], knows: Knows
    ) -> Iterator[list[tuple[Item, Seen | Failure | str]]]:
        """All items in order, in batches, each with what was seen.

        An image that cannot be read is a failure in its place; the sha256 stands for one that is
        known.
        """

    def vectors(self, seen: Sequence[Seen]) -> FloatArray:
        """(n, d) float32 unit rows of n images that `batches` gave."""


@dataclass(frozen=True)
class Work:
    """How images are seen.

    Attributes:
        encoder: The memory's.
        policy: Limits on the images.
        views: What of an image is encoded.
        thumbnails: Longer side of the pictures that are kept, in pixels; 0: none.
    """

    encoder: Encoder
    policy: Policy
    views: Views
    thumbnails: int

    @property
    def detail(self) -> int:
        """Pixels of an image's shorter side that are needed."""
        return max(self.encoder.detail, self.thumbnails)

    @property
    def batch(self) -> int:
        """Images that are encoded at once, at most."""
        return CPU_BATCH if self.encoder.device == "cpu" else BATCH

    def seen(self, image: AdmittedImage) -> tuple[Seen, int]:
        """What is needed of an image, and how many of its pixels that keeps."""
        prepared = [self.encoder.prepare(view) for view in views_of(image.rgb, self.views)]
        small = thumbnail(image.rgb, self.thumbnails) if self.thumbnails else b""
        return Seen(image.sha256, small, prepared), 0


class Engine(Protocol):
    """Sees images elsewhere."""

    def seeing(self, work: Work, memory: Path, reader: Reader) -> AbstractContextManager[Seeing]:
        """Who sees the images of one teaching, which is committed when this ends without an error.

        Args:
            work: How they are seen.
            memory: Folder of the memory.
            reader: Whose images they are.
        """


class Here:
    """Sees images in this process.

    Args:
        work: How they are seen.
    """

    def __init__(self, work: Work) -> None:
        self._work = work

    def samples(self, reader: Reader) -> Iterator[Sample | Failure]:
        """See `Seeing.samples`."""
        return reader.samples()

    def batches(
        self, items: Iterable[Item], knows: Knows
    ) -> Iterator[list[tuple[Item, Seen | Failure | str]]]:
        """See `Seeing.batches`."""
        work = self._work
        return read_batches(
            items, work.policy, work.batch, _image, work.seen, knows, detail=work.detail
        )

    def vectors(self, seen: Sequence[Seen]) -> FloatArray:
        """See `Seeing.vectors`."""
        return encode_exemplars(self._work.encoder, [image.views for image in seen])


def _image(item: Item) -> ImageSource | AdmittedImage:
    image = item[1].image
    assert image is not None  # noqa: S101 - samples without one are not read
    return image
