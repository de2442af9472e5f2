"""A data set's images as they are recognised: files, or crops of boxes in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from rar_agent.detection import CropStyle, crop
from rar_agent.detection.crops import SIDE
from rar_agent.errors import ImageError, InputError
from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.images import AdmittedImage, Policy, admit
from rar_agent.memory.readers import Sample
from rar_agent.memory.readers.identity import identity_of
from rar_agent.types import Category, Failure

_KEPT = 2  # boxes of an image come one after the other


def read_image(one: LabelledImage, policy: Policy, style: CropStyle) -> AdmittedImage:
    """An image, or the crop of its box, whose hash is that of its pixels.

    Args:
        one: The image, or a box in it.
        policy: What is read.
        style: Of the crop.

    Raises:
        ImageError: It cannot be read, or the box is not in it.
    """
    if one.box is None:
        return admit(one.file, policy)
    whole = _whole(one.file, policy)
    try:
        return admit(crop(whole.rgb, one.box, style, SIDE), policy)
    except InputError as error:
        raise ImageError(f"'{one.key}': {error.message}", error.fix) from error


@lru_cache(_KEPT)
def _whole(file: Path, policy: Policy) -> AdmittedImage:
    return admit(file, policy)


class LabelledReader:
    """What a memory learns of a data set; crops are made when they are read.

    Args:
        images: To learn.
        categories: Of each image.
        policy: What is read.
        style: Of the crops.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        categories: Sequence[Category],
        policy: Policy,
        style: CropStyle,
    ) -> None:
        self._images, self._categories = images, categories
        self._policy, self._style = policy, style

    @property
    def identity(self) -> str:
        """Hash of the images' keys and categories, and of how boxes are shown."""
        pairs = zip(self._images, self._categories, strict=True)
        shown = [repr(self._style)] if any(one.box for one in self._images) else []
        return identity_of("labelled", *(f"{one.key} {of.name}" for one, of in pairs), *shown)

    @property
    def count(self) -> int:
        """Images."""
        return len(self._images)

    def samples(self) -> Iterator[Sample | Failure]:
        """All of them, in order; a box that cannot be cropped is a failure in its place."""
        for one, category in zip(self._images, self._categories, strict=True):
            if one.box is None:
                yield Sample(category, one.file, one.key)
                continue
            try:
                yield Sample(category, read_image(one, self._policy, self._style), one.key)
            except ImageError as error:
                yield Failure(source=one.key, error=str(error), kind=type(error).__name__)
