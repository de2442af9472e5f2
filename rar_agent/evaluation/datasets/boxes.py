"""Boxes in COCO's format, as COCO, LVIS and V3Det have them: each box is an image to recognise."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from typing_extensions import override

from rar_agent.detection import Box
from rar_agent.detection.coco import image_path
from rar_agent.errors import DamagedDataError
from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.evaluation.datasets.coco import read_coco, read_json
from rar_agent.evaluation.datasets.listing import Listing, Source, absent, below
from rar_agent.evaluation.datasets.proposals import Objects, proposals_of
from rar_agent.settings import Settings
from rar_agent.types import Category

_OF_IMAGES = ("width", "height", "neg_category_ids", "not_exhaustive_category_ids")


class CocoSource(Source):
    """A file of annotations, and a folder of images."""

    loader: Literal["coco"] = "coco"
    test: str = "instances.json"
    """The file with the boxes that are tested on."""
    train: str = ""
    """The one with those that are learnt from; empty: none, or see `test_share`."""
    images: str = "."
    """Folder of the images, that the files' paths begin at."""
    test_share: float = Field(default=1.0, gt=0, le=1)
    """Without a file to learn from: the share of the images whose boxes are tested on, those whose
    paths hash lowest; the boxes of the others are learnt from."""
    proposals: str = ""
    """A file of results in COCO's format, with the boxes that a detector proposed in the images
    that are tested on: these are recognised, and the boxes of `test` are what they are measured
    against. Empty: the boxes of `test` are recognised."""
    nms: float | None = Field(default=None, ge=0, le=1)
    """Of proposals: a name that overlaps the same name, where it is surer, by more than this
    counts no more; None: all do. Detectors usually take 0.5."""

    @model_validator(mode="after")
    def _suppresses_proposals(self) -> CocoSource:
        if self.nms is not None and not self.proposals:
            raise ValueError(
                "nms is of proposals, and none are named: given boxes keep their names"
            )
        return self

    def missing(self, place: Path) -> list[str]:
        """The files, or the folder."""
        return absent(place, *filter(None, [self.test, self.train, self.images, self.proposals]))

    @override
    def read(self, place: Path, settings: Settings) -> Listing:
        """List the boxes; see `Source`. Boxes around crowds, and without an area, are left out."""
        root, tested = below(place, self.images), read_coco(below(place, self.test))
        listed = sorted(tested["categories"], key=lambda one: one["id"])
        position = {one["id"]: at for at, one in enumerate(listed)}
        every = _boxes(tested, root, position, below(place, self.test))
        paths, learnt = {one["id"]: image_path(one) for one in tested["images"]}, set[str]()
        if self.train:
            file = below(place, self.train)
            train, test = _boxes(read_coco(file), root, position, file), every
        else:
            of = sorted({_image(one) for one in every})
            order = sorted(of, key=lambda name: hashlib.sha256(name.encode()).digest())
            learnt = set(order[round(self.test_share * len(order)) :])
            train = [one for one in every if _image(one) in learnt]
            test = [one for one in every if _image(one) not in learnt]
        if self.proposals:
            file = below(place, self.proposals)
            found = proposals_of(read_json(file), file, paths, root, _there(test, paths))
            test = [one for one in found if _image(one) not in learnt]
        paths = {number: path for number, path in paths.items() if path not in learnt}
        return Listing(
            [_category(one, below(place, self.test)) for one in listed],
            train,
            test,
            rare=frozenset(at for at, one in enumerate(listed) if one.get("frequency") == "r"),
            annotations=self._annotations({**tested, "categories": listed}, paths, test),
        )

    def _annotations(
        self, found: dict[str, Any], paths: dict[Any, str], test: Sequence[LabelledImage]
    ) -> dict[str, Any]:
        """What average precision is measured against, see `evaluation.annotations`."""
        count = Counter(map(_image, test))
        info = {"boxes": "proposed", "nms": self.nms} if self.proposals else {"boxes": "given"}
        images = [
            {key: one[key] for key in ("id", *_OF_IMAGES) if key in one}
            | {"file_name": paths[one["id"]]}
            | ({"proposals": count[paths[one["id"]]]} if self.proposals else {})
            for one in found["images"]
            if one["id"] in paths
        ]
        categories = [
            {key: one[key] for key in ("id", "name", "frequency") if key in one}
            for one in found["categories"]
        ]
        there = [
            {key: one[key] for key in ("id", "image_id", "category_id", "bbox")}
            | {"area": _area(one), "iscrowd": int(bool(one.get("iscrowd")))}
            for one in found["annotations"]
            if one["image_id"] in paths and min(one["bbox"][2:]) > 0
        ]
        return {"info": info, "images": images, "categories": categories, "annotations": there}


def _image(one: LabelledImage) -> str:
    """Path of a box's image."""
    return one.key.rpartition("#")[0]


def _there(boxes: Sequence[LabelledImage], paths: dict[Any, str]) -> dict[Any, Objects]:
    """What is in each image, by its id; crowds are not."""
    number = {path: image for image, path in paths.items()}
    found: dict[Any, Objects] = {}
    for one in boxes:
        if one.box:
            objects = found.setdefault(number[_image(one)], Objects())
            objects.boxes.append(one.box)
            objects.categories.append(one.category)
    return found


def _category(one: dict[str, Any], file: Path) -> Category:
    """A category, with LVIS's synonyms and definition."""
    name = str(one["name"])
    others = [word.replace("_", " ") for word in one.get("synonyms", ())]
    try:
        return Category(
            name=name,
            aliases=tuple(word for word in others if word != name.replace("_", " ")),
            description=str(one.get("def", "")),
        )
    except ValidationError as error:
        raise DamagedDataError(
            f"'{file}' has a category {name!r} that cannot be taken: {error.errors()[0]['msg']}.",
            "Correct its name, synonyms or def.",
        ) from error


def _boxes(
    found: dict[str, Any], root: Path, position: dict[int | str, int], file: Path
) -> list[LabelledImage]:
    paths = {one["id"]: image_path(one) for one in found["images"]}
    try:
        return [
            LabelledImage(
                f"{paths[one['image_id']]}#{one['id']}",
                root / paths[one["image_id"]],
                position[one["category_id"]],
                _box(one["bbox"]),
                _area(one),
            )
            for one in sorted(found["annotations"], key=lambda one: (one["image_id"], one["id"]))
            if not one.get("iscrowd") and min(one["bbox"][2:]) > 0
        ]
    except KeyError as error:
        raise DamagedDataError(
            f"'{file}' has a box of category {error}, which the boxes to test on lack.",
            "Name files with the same categories.",
        ) from error


def _area(one: dict[str, Any]) -> float:
    """Of the object, as the file has it, by which the official tools call it small or large."""
    area = one.get("area")
    return float(one["bbox"][2] * one["bbox"][3] if area is None else area)


def _box(given: Sequence[float]) -> Box:
    left, top, width, height = map(float, given)
    return left, top, width, height
