"""A folder of folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rar_agent.errors import InputError
from rar_agent.images.policy import printable
from rar_agent.memory.readers.categories import named, refuse_repeats
from rar_agent.memory.readers.draw import draw
from rar_agent.memory.readers.identity import file_state, unreadable
from rar_agent.memory.readers.sample import Reader, Sample
from rar_agent.types import Category

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
"""Of files that are taken for images, in small letters."""


@dataclass(frozen=True)
class FolderReader:
    """Images from FOLDER/CATEGORY/…, where they may lie deeper than one level.

    Underscores in folder names become spaces. Categories come in the order of their folders'
    names, images in the order of their paths; folders whose names begin with a dot are passed over.

    Attributes:
        folder: The folder of folders; made absolute, so that exemplars are found from anywhere.

    Raises:
        InputError: It is no folder. When read: no folder has images, two folders' names become
            one, or a name cannot name a category.
    """

    folder: Path

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise InputError(
                f"'{printable(str(self.folder))}' is not a folder.",
                "Give a folder with a folder a category.",
            )
        object.__setattr__(self, "folder", self.folder.resolve())

    @property
    def identity(self) -> str:
        """Hash of all relative paths, sizes and times of change."""
        return self._scanned[0]

    @property
    def count(self) -> int:
        """Number of images."""
        return self._scanned[1]

    def samples(self) -> Iterator[Sample]:
        """One sample an image, category after category."""
        _ = self._scanned  # what is wrong with the names is said before anything is learnt
        for place in self._places():
            images = _images(place)
            if images:
                category = self._category(place)
                for image in images:
                    yield Sample(category, image, printable(str(image)), place.name)

    @cached_property
    def _scanned(self) -> tuple[str, int]:
        """Identity and number of images; holds the paths of one category at a time."""
        listing = hashlib.sha256(b"folder\0")
        count = 0
        names = []
        for place in self._places():
            images = _images(place)
            for image in images:
                listing.update(os.fsencode(image.relative_to(self.folder)))
                listing.update(f"\0{file_state(image)}\0".encode())
            if images:
                names.append(self._category(place).name)
            count += len(images)
        if not names:
            raise InputError(
                f"'{printable(str(self.folder))}' has no folders with images.",
                f"Put the images of each category into a folder of its name: {self.folder}/robin/"
                f"1.jpg. Read are {', '.join(sorted(SUFFIXES))}.",
            )
        refuse_repeats(names, str(self.folder))
        return listing.hexdigest(), count

    def _places(self) -> list[Path]:
        try:
            inside = [p for p in self.folder.iterdir() if not p.name.startswith(".")]
        except OSError as error:
            raise unreadable(self.folder, error) from error
        return sorted(p for p in inside if p.is_dir())

    def _category(self, place: Path) -> Category:
        return named(place.name.replace("_", " "), str(self.folder))


def _images(place: Path) -> list[Path]:
    return sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def read_folder(
    folder: Path, shots: int | None = None, seed: int = 0
) -> list[tuple[Category, list[Path]]]:
    """Categories and their images from FOLDER/CATEGORY/…, all in memory; see `FolderReader`.

    Args:
        folder: The folder of folders.
        shots: At most this many images a category, drawn with the seed, not the first.
        seed: Of the draw; it does not depend on the other categories.

    Raises:
        InputError: It is no folder, has no folder with images, or repeats a name.
    """
    reader: Reader = FolderReader(folder)
    if shots is not None:
        reader = draw(reader, shots, seed)
    found: dict[str, tuple[Category, list[Path]]] = {}
    for sample in reader.samples():
        if isinstance(sample, Sample) and isinstance(sample.image, Path):
            _, images = found.setdefault(sample.category.name, (sample.category, []))
            images.append(sample.image)
    return list(found.values())
