"""COCO's formats: boxes from files of annotations or results, and detections as results."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
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
    """

    file: Path
    boxes: Mapping[ImageId, tuple[Proposal, ...]]
    images: Mapping[ImageId, str] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)
    left_out: int = 0

    def of(self, image: ImageId | PurePath) -> list[Proposal]:
        """Boxes of one image, none where the file has none for it; see `id_of`."""
        return list(self.boxes.get(self.id_of(image), ()))

    def id_of(self, image: ImageId | PurePath) -> ImageId:
        """Find an image.

        Args:
            image: Its id, or its path: as the file has it, or one that ends in the same folders, or
                at least in the same name. In results alone, which tell no paths, an image is found
                by the number that its name is, as COCO's are: 000000000139.jpg.

        Raises:
            NotFoundError: There is no such image.
            InputError: Several images have its name.
        """
        if image in self.images or image in self.boxes:
            return cast(ImageId, image)
        path = PurePath(str(image))
        if not self.images and path.stem.isdecimal():
            return int(path.stem)
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
                f"'{self.file}' has no image '{image}' among its "
                f"{len(self.images) or len(self.boxes)}.",
                f"Name one by its path there, such as '{some}'." if some else "Give its id.",
            )
        if len(found) > 1:
            raise InputError(
                f"'{self.file}' has {len(found)} images '{path.name}', such as "
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


def read_coco(file: Path, names: Path | None = None) -> CocoBoxes:
    """Read the boxes of a file in COCO's format, as COCO, LVIS and V3Det have them.

    Args:
        file: Annotations (`images`, `annotations`, `categories`), or a list of results (`image_id`,
            `bbox`, `score`, `category_id`), such as a detector wrote.
        names: For results: the file of annotations, or of images alone, that names the images and
            the categories.

    Raises:
        InputError: A file cannot be read, or is in another format.
    """
    found = _load(file)
    listed = found if isinstance(found, dict) else _load(names) if names else None
    try:
        images, categories = _listed(listed) if listed is not None else ({}, {})
        given = found["annotations"] if isinstance(found, dict) else found
        rows = [one for one in given if not one.get("iscrowd") and not min(one["bbox"][2:]) <= 0]
        read = read_boxes(
            [
                {
                    "bbox": one["bbox"],
                    "score": one.get("score"),
                    "name": categories.get(one.get("category_id"), ""),
                    "id": one.get("id"),
                }
                for one in rows
            ],
            (1, 1),  # of no consequence: COCO's boxes are in pixels
        )
        by_image: dict[ImageId, list[Proposal]] = defaultdict(list)
        for one, box in zip(rows, read, strict=True):
            by_image[one["image_id"]].append(box)
    except InputError as error:
        raise InputError(f"'{file}': {error.message}", error.fix) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"'{file}' is not in COCO's format: {error!r}.",
            "Give a file of annotations, or a list of results.",
        ) from error
    if images and (unknown := by_image.keys() - images.keys()):
        raise InputError(
            f"'{file}' has boxes of image {next(iter(unknown))}, which is not listed.",
            "Give the file that lists it.",
        )
    boxes = {one: tuple(some) for one, some in by_image.items()}
    return CocoBoxes(file, boxes, images, categories, len(given) - len(rows))


def _load(file: Path) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"'{file}' cannot be read: {error}.", "Name a JSON file.") from error


def _listed(found: Mapping[str, Any]) -> tuple[dict[ImageId, str], dict[int, str]]:
    """Paths of the images, names of the categories."""
    return (
        {one["id"]: image_path(one) for one in found["images"]},
        {one["id"]: str(one["name"]) for one in found["categories"]},
    )


def image_path(image: Mapping[str, Any]) -> str:
    """Where an image of a file is, below the folder of images; LVIS gives COCO's URL instead."""
    if name := image.get("file_name"):
        return str(name)
    return "/".join(urlsplit(image["coco_url"]).path.split("/")[-2:])


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
