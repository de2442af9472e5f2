"""CoOp's fixed splits (`split_zhou_*.json`), and files of few-shot draws."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

from rar_agent.errors import DamagedDataError, InputError
from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.evaluation.datasets.listing import Listing, Source, absent, below
from rar_agent.settings import Settings
from rar_agent.types import Category

Row = tuple[str, int, str]
"""Path of an image, number of its category from 0, name of its category."""
_SPLIT = TypeAdapter(dict[str, list[Row]])
_PICKLES = (".pkl", ".pickle")


class CoopSource(Source):
    """A split file, and the images that it names."""

    loader: Literal["coop"] = "coop"
    split: str
    """File of the split."""
    images: tuple[str, ...]
    """Folders in which its images may lie: CoOp's, torchvision's; the first that is there."""

    def missing(self, place: Path) -> list[str]:
        """The split file, or the images' folder."""
        images = [] if self._folder(place) else [self.images[0]]
        return absent(place, self.split) + images

    @override
    def read(self, place: Path, settings: Settings) -> Listing:
        """List the images; see `Source`."""
        folder = self._folder(place) or below(place, self.images[0])
        rows, names = read_split(below(place, self.split))

        def images(part: str) -> list[LabelledImage]:
            return [LabelledImage(path, folder / path, label) for path, label, _ in rows[part]]

        categories = [Category(name=name) for name in names]
        return Listing(categories, images("train"), images("test"), len(rows["val"]))

    def _folder(self, place: Path) -> Path | None:
        found = (below(place, path) for path in self.images)
        return next((folder for folder in found if folder.is_dir()), None)


def read_split(file: Path) -> tuple[dict[str, list[Row]], list[str]]:
    """A split file: rows of `train`, `val` and `test`, and the categories' names by number.

    Raises:
        DamagedDataError: It is not such a file.
    """
    try:
        rows = _SPLIT.validate_python(_json(file))
    except ValidationError as error:
        raise _damaged(file, error.errors()[0]["msg"]) from error
    names: dict[int, str] = {}
    for part in ("train", "val", "test"):
        for path, label, name in rows.setdefault(part, []):
            if names.setdefault(label, name) != name:
                raise _damaged(file, f"category {label} is '{names[label]}' and '{name}'")
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise _damaged(file, f"'{path}' leads out of the images' folder")
    if sorted(names) != list(range(len(names))):
        raise _damaged(file, f"categories are not numbered from 0 to {len(names) - 1}")
    return rows, [names[label] for label in range(len(names))]


def read_shots(file: Path, train: Sequence[LabelledImage]) -> list[LabelledImage]:
    """The images of a file of few-shot draws, to learn from just those.

    Read is JSON: a list of rows as in a split file, or of objects with `impath`, below `train`
    (and `data`). Paths may begin with folders of another machine.

    Args:
        file: Such as `shot_4-seed_1.json`.
        train: The data set's images, of which these are some.

    Raises:
        InputError: It is a pickle, which is never opened.
        DamagedDataError: It is not such a file, or names images that `train` has not.
    """
    if file.suffix in _PICKLES:
        raise InputError(
            f"'{file}' is a pickle: opening one runs whatever code is in it, so it is not read.",
            "Leave it out: the draw by the same seed is CoOp's own. Or write it as JSON, where "
            'you trust it: {"train": [["image.jpg", 0, "name"], …]}.',
        )
    by_key = {image.key: image for image in train}
    found = []
    for path in _paths(_json(file), file):
        parts = PurePosixPath(path).parts
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        image = next((by_key[end] for end in ends if end in by_key), None)
        if image is None:
            raise _damaged(file, f"'{path}' is not an image of train")
        found.append(image)
    return found


def _paths(data: Any, file: Path) -> Iterator[str]:  # noqa: ANN401 - plain JSON
    while isinstance(data, dict):
        data = data.get("train", data.get("data"))
    if not isinstance(data, list):
        raise _damaged(file, "it has no list 'train'")
    for row in data:
        first = row[0] if isinstance(row, list) and row else None
        path = row.get("impath") if isinstance(row, dict) else first
        if not isinstance(path, str):
            raise _damaged(file, f"{str(row)[:80]} names no image")
        yield path


def _json(file: Path) -> Any:  # noqa: ANN401 - plain JSON
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(file, str(error)) from error


def _damaged(file: Path, reason: str) -> DamagedDataError:
    return DamagedDataError(f"'{file}' cannot be used: {reason}.", "Get the file again.")
