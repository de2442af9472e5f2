"""A folder of folders; ImageNet too."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field
from typing_extensions import override

from rar_agent.errors import DamagedDataError, InputError
from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.evaluation.datasets.listing import Listing, Source, absent, below
from rar_agent.memory.readers import FolderReader
from rar_agent.settings import Settings
from rar_agent.types import Category


class FolderSource(Source):
    """FOLDER/train/CATEGORY/… and FOLDER/test/CATEGORY/…, or FOLDER/CATEGORY/… to be split."""

    loader: Literal["folder"] = "folder"
    images: str = "."
    """The folder."""
    train: str = "train"
    """Folder of what is learnt from, below `images`."""
    test: str = "test"
    """Folder of what is tested on, below `images`."""
    test_share: float = Field(default=0.5, gt=0, lt=1)
    """Where there is neither folder, this share of each category is tested on: those images whose
    names hash lowest, so that it is the same everywhere."""
    names: str = ""
    """File with the categories in their order, a line each: a folder, or a folder, a space, and
    its name; empty: folders by name."""

    def missing(self, place: Path) -> list[str]:
        """The folder, or the file with names."""
        return absent(place, self.images, *filter(None, [self.names]))

    @override
    def read(self, place: Path, settings: Settings) -> Listing:
        """List the images; see `Source`."""
        root = below(place, self.images)
        parts = [part for part in (self.train, self.test) if (root / part).is_dir()]
        if len(parts) == 1:
            lacking = self.test if parts == [self.train] else self.train
            raise InputError(
                f"'{root}' has the folder {parts[0]}, and no folder {lacking}.",
                "Add it, or name the two with train: … and test: …",
            )
        found = {part: _folders(root / part) for part in parts} or self._split(root)
        train, test = found[self.train], found[self.test]
        folders, names = self._order(place, sorted({*train, *test}))
        position = {folder: number for number, folder in enumerate(folders)}

        def images(of: dict[str, list[Path]]) -> list[LabelledImage]:
            return [
                LabelledImage(file.relative_to(root.resolve()).as_posix(), file, position[folder])
                for folder, files in of.items()
                for file in files
            ]

        categories = [Category(name=name) for name in names]
        return Listing(categories, images(train), images(test), folders=folders)

    def _split(self, root: Path) -> dict[str, dict[str, list[Path]]]:
        train: dict[str, list[Path]] = {}
        test: dict[str, list[Path]] = {}
        for folder, files in _folders(root).items():
            shuffled = sorted(files, key=lambda file: hashlib.sha256(file.name.encode()).digest())
            tested = set(shuffled[: round(self.test_share * len(files))])
            train[folder] = [file for file in files if file not in tested]
            test[folder] = [file for file in files if file in tested]
        return {self.train: train, self.test: test}

    def _order(self, place: Path, there: list[str]) -> tuple[list[str], list[str]]:
        """Folders in the order of the categories, and the categories' names."""
        if not self.names:
            return there, there
        lines = below(place, self.names).read_text("utf-8-sig").splitlines()
        listed = [_named(line.strip(), set(there)) for line in lines if line.strip()]
        folders = [folder for folder, _ in listed]
        if more := sorted(set(there) - set(folders)):
            raise DamagedDataError(
                f"'{place / self.names}' does not list {len(more)} of the folders: "
                f"{', '.join(more[:5])}.",
                "Take them out, or get the data set again.",
            )
        return folders, [name for _, name in listed]


def _named(line: str, folders: set[str]) -> tuple[str, str]:
    first, _, rest = line.partition(" ")
    return (first, rest.strip()) if line not in folders and first in folders else (line, line)


def _folders(root: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for sample in FolderReader(root).samples():
        if isinstance(sample.image, Path):
            found.setdefault(sample.key, []).append(sample.image)
    return found
