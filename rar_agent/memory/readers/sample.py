"""One thing to learn, and what gives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from rar_agent.errors import InputError
from rar_agent.images import AdmittedImage, ImageSource
from rar_agent.images.policy import printable
from rar_agent.memory.readers.place import Place
from rar_agent.types import Category, Failure


@dataclass(frozen=True)
class Sample:
    """One thing to learn: an image of a category, or, without an image, the category by name.

    Attributes:
        category: What it is, with the details that the reader knows of it.
        image: Not yet read, checked or decoded, unless it was admitted already; None for the
            category by name alone.
        source: For people, and for finding it again: an absolute path, a URL,
            `/data/shard.tar/key.jpg`, `table.csv:12`, `dataset[12]`.
        key: What the category was called before its name was made readable (a folder's name);
            seeds its draw. Empty: the category's name.
        branch: Whether it is only said what is above a branch of the taxonomy, with no image: it
            becomes no category by that.
        place: Where its image lies, in place of `image`: see `placed`.
    """

    category: Category
    image: ImageSource | AdmittedImage | None
    source: str
    key: str = ""
    branch: bool = False
    place: Place | None = None

    @property
    def has_image(self) -> bool:
        """Whether there is an image, here or at its place."""
        return self.image is not None or self.place is not None


class Reader(Protocol):
    """What a memory is taught from.

    It can be read again and again, in the same order, with memory that does not grow with the
    number of images.
    """

    @property
    def identity(self) -> str:
        """Sha256 in hex: the same input gives the same, a changed listing another.

        An interrupted build goes on only with the same.
        """

    @property
    def count(self) -> int | None:
        """Samples with images, or None where it takes reading everything to know."""

    def samples(self) -> Iterator[Sample | Failure]:
        """All samples, in order; a bad row or member is a failure in its place, never the end.

        Raises:
            InputError: There is nothing to read, or it cannot be understood as a whole.
        """


def failed(source: str, error: InputError) -> Failure:
    """The failure that stands in the place of a sample."""
    return Failure(source=printable(source), error=str(error), kind=type(error).__name__)
