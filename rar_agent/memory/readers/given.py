"""Samples from Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from rar_agent.errors import InputError
from rar_agent.images import ImageSource
from rar_agent.images.admit import source_name
from rar_agent.memory.readers.categories import named, refuse_repeats
from rar_agent.memory.readers.identity import identity_of, image_state
from rar_agent.memory.readers.sample import Sample
from rar_agent.types import Category

Given = (
    Sequence[Sample]
    | Sequence[tuple[Category, Sequence[ImageSource]]]
    | Mapping[str, Sequence[ImageSource]]
)
"""Samples; or images by the name of their category; or categories, each with its images."""


class SampleReader:
    """What Python code has at hand. A category with no images is given by name alone.

    Args:
        samples: Samples, or images by the name of their category, or categories, each with its
            images. An image is a path, https URL, bytes, PIL image or (H, W, 3) uint8 array;
            what is opened (a file object, an iterator) can be read only once, and is refused.
        identity: What tells these samples from others, such as a version of theirs; empty: a
            hash of everything given, for which images in memory are read once.

    Raises:
        InputError: It is none of these, is empty, or a name cannot name a category.
    """

    def __init__(self, samples: Given, identity: str = "") -> None:
        self._identity = identity
        self._folder = Path.cwd()  # of relative paths, wherever the process goes later
        self._samples: Sequence[Sample | tuple[Category, Sequence[ImageSource]]]
        if isinstance(samples, Mapping):
            self._samples = _categories(samples)
        elif isinstance(samples, Sequence) and not isinstance(samples, str | bytes):
            self._samples = samples
        else:
            raise InputError(
                f"A {type(samples).__name__} gives no samples that can be read again.",
                "Give a list of samples, or a dict with a list of images for each category.",
            )
        if not len(self._samples):
            raise InputError("There is nothing to learn.", "Give at least one sample.")
        for _ in self.samples():  # what cannot be used is said here, not in the midst of a build
            pass

    @cached_property
    def identity(self) -> str:
        """Hash of the identity given, or else of the samples."""
        if self._identity:
            return identity_of("given", self._identity)
        parts = (
            part
            for sample in self.samples()
            for part in (sample.category.model_dump_json(), sample.key, image_state(sample.image))
        )
        return identity_of("samples", *parts)

    @cached_property
    def count(self) -> int:
        """Number of samples with images."""
        return sum(sample.image is not None for sample in self.samples())

    def samples(self) -> Iterator[Sample]:
        """The samples, in the order given."""
        for given in self._samples:
            if isinstance(given, Sample):
                _require_rereadable(given.image, given.source)
                yield given
            else:
                yield from _of_category(given, self._folder)


def _categories(
    images: Mapping[str, Sequence[ImageSource]],
) -> list[tuple[Category, Sequence[ImageSource]]]:
    found = [(named(name, "the samples"), of_it) for name, of_it in images.items()]
    refuse_repeats((category.name for category, _ in found), "the samples")
    return found


def _of_category(given: tuple[Category, Sequence[ImageSource]], folder: Path) -> Iterator[Sample]:
    try:
        category, images = given
    except (TypeError, ValueError):
        category, images = None, ()
    if not isinstance(category, Category):
        raise InputError(
            f"A {type(given).__name__} is no sample.",
            "Give Sample(category, image, source), or (category, images).",
        )
    if not isinstance(images, Sequence) or isinstance(images, str | bytes):
        raise InputError(
            f"The images of '{category.name}' are a {type(images).__name__}, not a list.",
            "Give a list, of one image too.",
        )
    if not images:
        yield Sample(category, None, category.name)
    for i, image in enumerate(images):
        where = f"{category.name}[{i}]"
        _require_rereadable(image, where)
        if isinstance(image, Path):
            image = folder / image.expanduser()
        yield Sample(category, image, source_name(image) if _is_place(image) else where)


def _is_place(image: ImageSource) -> bool:
    return isinstance(image, Path) or (isinstance(image, str) and not image.startswith("data:"))


def _require_rereadable(image: object, where: str) -> None:
    if hasattr(image, "read"):
        raise InputError(
            f"The image of {where} is an open file, which is read only once.",
            "Give its path or its bytes.",
        )
