"""Data sets with a layout of their own: CUB, Stanford Dogs, RAF-DB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from typing_extensions import override

from rar_agent.errors import DamagedDataError
from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.evaluation.datasets.listing import Listing, Source, absent, below
from rar_agent.settings import Settings
from rar_agent.types import Category


class CubSource(Source):
    """Caltech-UCSD Birds-200-2011, unpacked: its lists, and its official split."""

    loader: Literal["cub"] = "cub"
    root: str = "CUB_200_2011"
    """The unpacked folder."""

    def missing(self, place: Path) -> list[str]:
        """Its lists and its images."""
        lists = ("images", "images.txt", "classes.txt", "image_class_labels.txt")
        return absent(place, *(f"{self.root}/{name}" for name in (*lists, "train_test_split.txt")))

    @override
    def read(self, place: Path, settings: Settings) -> Listing:
        """List the images; see `Source`."""
        root = below(place, self.root)
        folders = dict(_pairs(root / "classes.txt"))
        position = {number: place for place, number in enumerate(folders)}
        labels = dict(_pairs(root / "image_class_labels.txt"))
        learnt = dict(_pairs(root / "train_test_split.txt"))
        train: list[LabelledImage] = []
        test: list[LabelledImage] = []
        for number, path in _pairs(root / "images.txt"):
            try:
                image = LabelledImage(path, root / "images" / path, position[labels[number]])
                (train if learnt[number] == "1" else test).append(image)
            except KeyError as error:
                raise DamagedDataError(
                    f"'{root}' lists image {number}, but not its class or part.",
                    "Get the archive again.",
                ) from error
        names = [folder.partition(".")[2] or folder for folder in folders.values()]
        return Listing([Category(name=n) for n in names], train, test, 0, list(folders.values()))


class DogsSource(Source):
    """Stanford Dogs, unpacked: `train_list.mat` and `test_list.mat`."""

    loader: Literal["dogs"] = "dogs"

    def missing(self, place: Path) -> list[str]:
        """Its lists and its images."""
        return absent(place, "Images", "train_list.mat", "test_list.mat")

    @override
    def read(self, place: Path, settings: Settings) -> Listing:
        """List the images; see `Source`."""
        lists = [_matlab(place / f"{part}_list.mat") for part in ("train", "test")]
        folders = sorted({path.partition("/")[0] for paths in lists for path in paths})
        position = {folder: number for number, folder in enumerate(folders)}
        train, test = (
            [
                LabelledImage(path, place / "Images" / path, position[path.partition("/")[0]])
                for path in paths
            ]
            for paths in lists
        )
        names = [folder.partition("-")[2] or folder for folder in folders]
        return Listing([Category(name=name) for name in names], train, test, 0, folders)


class RafSource(Source):
    """RAF-DB's basic emotions: aligned faces, and the list that is official."""

    loader: Literal["raf"] = "raf"
    images: str = "basic/Image/aligned"
    """Folder of the aligned faces."""
    labels: str = "basic/EmoLabel/list_patition_label.txt"
    """List of files and their classes; its name is spelt so."""
    names: tuple[str, ...]
    """Of the classes, from 1."""

    def missing(self, place: Path) -> list[str]:
        """Its list and its images."""
        return absent(place, self.images, self.labels)

    @override
    def read(self, place: Path, settings: Settings) -> Listing:
        """List the images; see `Source`."""
        folder = below(place, self.images)
        train: list[LabelledImage] = []
        test: list[LabelledImage] = []
        for name, label in _pairs(below(place, self.labels)):
            if not label.isdigit() or not 1 <= int(label) <= len(self.names):
                raise DamagedDataError(
                    f"'{self.labels}' gives {name} the class {label}; there are {len(self.names)}.",
                    "Get the list again.",
                )
            file = folder / f"{Path(name).stem}_aligned.jpg"
            image = LabelledImage(file.name, file, int(label) - 1)
            (train if name.startswith("train") else test).append(image)
        return Listing([Category(name=name) for name in self.names], train, test)


def _pairs(file: Path) -> Iterator[tuple[str, str]]:
    """Lines of two parts."""
    for line in file.read_text("utf-8").splitlines():
        first, _, rest = line.strip().partition(" ")
        if first:
            yield first, rest.strip()


def _matlab(file: Path) -> list[str]:
    """The paths that a list has."""
    from scipy.io import loadmat

    try:
        return [str(row[0][0]) for row in loadmat(str(file))["file_list"]]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise DamagedDataError(
            f"'{file}' is not a list of Stanford Dogs: {error}.", "Get lists.tar again."
        ) from error
