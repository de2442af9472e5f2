"""COCO's formats: boxes from files of annotations or results, and detections as results."""

from __future__ import annotations

import json
import re
import reprlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, cast
from urllib.parse import urlsplit

from rar_agent.detection.boxes import read_boxes
from rar_agent.detection.proposal import Proposal
from rar_agent.detection.scores import fused
from rar_agent.errors import InputError, NotFoundError
from rar_agent.types import Detections

ImageId = int | str
"""COCO, LVIS and V3Det number their images."""


@dataclass(frozen=True)
class CocoBoxes:
    """The boxes of a file.

    Attributes:
        file: Where they are from.
        boxes: Of each image that has any, in the file's order. An annotation's id is the box's, its
            category's name the box's, where the file tells them; results have scores.
        images: Path of each image, as the file has it; empty for results alone.
        categories: Name of each category; empty for results alone.
        left_out: Boxes around crowds, and boxes without an area.
        sizes: Width and height in pixels of each image, where the file tells them.
        names: The file that lists the images and the categories, where it is another one.
    """

    file: Path
    boxes: Mapping[ImageId, tuple[Proposal, ...]]
    images: Mapping[ImageId, str] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)
    left_out: int = 0
    sizes: Mapping[ImageId, tuple[int, int]] = field(default_factory=dict)
    names: Path | None = None

    @property
    def listing(self) -> Path:
        """The file that lists the images and the categories."""
        return self.names or self.file

    def of(self, image: ImageId | PurePath) -> list[Proposal]:
        """Boxes of one image, none where the file has none for it; see `id_of`."""
        return list(self.boxes.get(self.id_of(image), ()))

    def id_of(self, image: ImageId | PurePath) -> ImageId:
        """Find an image.

        Args:
            image: Its id, or its path: as the file has it, or one that ends in the same folders, or
                at least in the same name. In results alone, which tell no paths, an image is found
                by its name without the ending, or by the number that it is, as COCO's are:
                000000000139.jpg.

        Raises:
            NotFoundError: There is no such image.
            InputError: Several images have its name.
        """
        if image in self.images or image in self.boxes:
            return cast(ImageId, image)
        path = PurePath(str(image))
        if not self.images and path.stem in self.boxes:
            return path.stem
        if not self.images and (number := _number_of(path.stem)) is not None:
            return self._by_number.get(number, number)  # the detector may have found nothing in it
        same = self._named.get(path.name, [])
        whole = f"/{path.as_posix()}"
        ends = [one for one in same if whole.endswith(f"/{self.images[one]}")]
        longest = max((len(self.images[one]) for one in ends), default=0)
        found = (
            [one for one in ends if len(self.images[one]) == longest]
            or [one for one in same if f"/{self.images[one]}".endswith(whole)]
            or same
        )
        if not found:
            some = next(iter(self.images.values()), "")
            raise NotFoundError(
                f"'{self.listing}' has no image '{image}' among its "
                f"{len(self.images) or len(self.boxes)}.",
                f"Name one by its path there, such as '{some}'." if some else "Give its id.",
            )
        if len(found) > 1:
            raise InputError(
                f"'{self.listing}' has {len(found)} images '{path.name}', such as "
                f"'{self.images[found[0]]}'.",
                "Name it with its folders, or give its id.",
            )
        return found[0]

    @cached_property
    def _named(self) -> Mapping[str, list[ImageId]]:
        """Ids of the images by the last part of their paths."""
        named = defaultdict(list)
        for one, path in self.images.items():
            named[path.rpartition("/")[2]].append(one)
        return dict(named)

    @cached_property
    def _by_number(self) -> Mapping[int, ImageId]:
        """Ids of the images that have boxes by their numbers, however those are written."""
        return _numbered(self.boxes)


def _number_of(written: ImageId) -> int | None:
    with suppress(ValueError):  # thousands of digits are no number either
        return int(written) if str(written).isdecimal() else None
    return None


def _numbered(ids: Iterable[ImageId]) -> dict[int, ImageId]:
    found = ((_number_of(one), one) for one in ids)
    return {number: one for number, one in found if number is not None}


def read_coco(file: str | Path, names: str | Path | None = None) -> CocoBoxes:
    """Read the boxes of a file in COCO's format, as COCO, LVIS and V3Det have them.

    Args:
        file: Annotations (`images`, `annotations`, `categories`), or a list of results (`image_id`,
            `bbox`, `score`, `category_id`), such as a detector wrote.
        names: For results: the file of annotations, or of images alone, that names the images and
            the categories.

    Raises:
        InputError: A file cannot be read, or is in another format.
    """
    file = Path(file)
    return coco_of(_load(file), file, Path(names) if names else None)


def coco_of(found: Any, file: Path, names: Path | None = None) -> CocoBoxes:  # noqa: ANN401 - JSON
    """The boxes of a file that was read already; see `read_coco`.

    Args:
        found: What JSON has in it.
        file: For messages.
        names: See `read_coco`.

    Raises:
        InputError: As `read_coco`.
    """
    results = not isinstance(found, dict)
    other = names if results else None
    listed = found if not results else _load(other) if other else {"images": [], "categories": []}
    with _in_format(other or file):
        images = {_value(one, "id", "image"): one for one in _objects(listed, "images")}
        paths = {number: image_path(one) for number, one in images.items()}
        sizes = {number: size for number, one in images.items() if (size := _size(one))}
        categories = {
            _value(one, "id", "category"): str(_value(one, "name", "category"))
            for one in _objects(listed, "categories")
        }
    with _in_format(file):
        numbered = _numbered(paths)
        given = found if results else _objects(found, "annotations")
        boxes: dict[ImageId, list[Proposal]] = defaultdict(list)
        what = "result" if results else "annotation"
        rows = _with_area(given, what)
        for row, box in zip(rows.values(), _read(rows, len(given), categories), strict=True):
            image = _value(row, "image_id", what)
            if paths and image not in paths:  # 7 may be written "7"
                image = numbered.get(cast(int, _number_of(image)), image)
            boxes[image].append(box)
    if paths and (unknown := boxes.keys() - paths.keys()):
        raise InputError(
            f"'{file}' has boxes of image {next(iter(unknown))}, which "
            + (f"'{other}' does not list." if other else "is not listed."),
            "Give the file that lists it.",
        )
    grouped = {one: tuple(some) for one, some in boxes.items()}
    left_out = len(given) - len(rows)
    return CocoBoxes(file, grouped, paths, categories, left_out, sizes, other)


def _load(file: Path) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{file}' cannot be read: {error}.", "Name a JSON file.") from error


@contextmanager
def _in_format(file: Path) -> Iterator[None]:
    """Errors name the file."""
    try:
        yield
    except InputError as error:
        raise InputError(f"'{file}': {error.message}", error.fix) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"'{file}' is not in COCO's format: {error}.",
            "Give a file of annotations, or a list of results, each with image_id and bbox.",
        ) from error


def _objects(found: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    if not isinstance(found, Mapping) or not isinstance(found.get(key), list):
        raise ValueError(f"it has no list of {key}")
    return cast(list[Mapping[str, Any]], found[key])


def _value(row: object, key: str, what: str) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(row, Mapping) or key not in row:
        raise ValueError(f"{what} {reprlib.repr(row)} has no {key}")
    return row[key]


def _with_area(given: object, what: str) -> dict[int, Mapping[str, Any]]:
    """Rows by their places from 1, but for crowds and boxes without an area."""
    if not isinstance(given, list):
        raise ValueError(f"{reprlib.repr(given)} is no list of {what}s")
    found = {}
    for place, row in enumerate(given, start=1):
        box = _value(row, "bbox", what)
        if not row.get("iscrowd") and not _is_flat(box):
            found[place] = row
    return found


def _is_flat(box: object) -> bool:
    """Whether it is a box without an area; what is none is for `read_boxes` to say."""
    sides = box[2:] if isinstance(box, list) and len(box) == 4 else []
    return any(isinstance(side, int | float) and side <= 0 for side in sides)


def _read(
    rows: Mapping[int, Mapping[str, Any]], of: int, categories: Mapping[Any, str]
) -> list[Proposal]:
    """Their boxes; what is wrong is told by the place in the file, and the id."""

    def named(found: re.Match[str]) -> str:
        place = list(rows)[int(found[1]) - 1]
        number = rows[place].get("id")
        return f"ox {place} of {of}" + ("" if number is None else f" (id {number})")

    given = [
        {
            "bbox": row["bbox"],
            "score": row.get("score"),
            "name": categories.get(row.get("category_id"), ""),
            "id": row.get("id"),
        }
        for row in rows.values()
    ]
    try:
        return read_boxes(given, (1, 1))  # of no consequence: COCO's boxes are in pixels
    except InputError as error:
        message = re.sub(r"ox (\d+) of \d+", named, error.message, count=1)
        raise InputError(message, error.fix) from error


def image_path(image: Mapping[str, Any]) -> str:
    """Where an image of a file is, below the folder of images; LVIS gives COCO's URL instead.

    Raises:
        ValueError: The file does not tell.
    """
    if name := image.get("file_name"):
        return str(name)
    if not image.get("coco_url"):
        raise ValueError(f"image {reprlib.repr(image)} has neither file_name nor coco_url")
    return "/".join(urlsplit(image["coco_url"]).path.split("/")[-2:])


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height, where both are told."""
    sides = (image.get("width"), image.get("height"))
    return cast(tuple[int, int], sides) if all(isinstance(side, int) for side in sides) else None


def to_results(
    detections: Detections,
    image_id: ImageId,
    categories: Mapping[str, int | None],
    limit: int = 100,
    weight: float = 1.0,
) -> list[dict[str, Any]]:
    """Results in COCO's format, one for each box and each category that it may hold.

    Those of abstained boxes are among them: average precision asks for an order, not for an answer.

    Args:
        detections: Of one image; boxes that failed have no results.
        image_id: Its id in the file of annotations.
        categories: Id of each name; None leaves a category out, as one that the annotations lack.
        limit: The surest so many are kept: 100 an image is COCO's usual number, 300 is LVIS's.
        weight: Of the box's score; see `scores.fused`.

    Returns:
        Surest first, as `pycocotools`' `loadRes` and `lvis`' `LVISResults` take them in one list of
        all images. Boxes are as they were given, also over the edge, and nothing is rounded.

    Raises:
        InputError: A name has no id, or there is no limit.
    """
    if limit < 1:
        raise InputError(f"{limit} is no number of results.", "Give 100 for COCO, 300 for LVIS.")
    results = [
        {
            "image_id": image_id,
            "category_id": number,
            "bbox": list(one.box),
            "score": fused(ranked.probability, one.box_score, weight),
        }
        for one in detections.detections
        if one.recognition
        for ranked in one.recognition.categories
        if (number := _number(ranked.category.name, categories)) is not None
    ]
    return sorted(results, key=lambda one: -cast(float, one["score"]))[:limit]


def _number(name: str, categories: Mapping[str, int | None]) -> int | None:
    if name not in categories:
        raise InputError(
            f"Category '{name}' has no id among the {len(categories)} that were given.",
            "Name the memory's categories as the annotations do; None leaves one out.",
        )
    return categories[name]
