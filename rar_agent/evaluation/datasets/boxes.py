"""Boxes in COCO's format, as COCO, LVIS and V3Det have them: each box is an image to recognise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import Field
from typing_extensions import override

from rar_agent.detection import Box
from rar_agent.errors import DamagedDataError
from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.evaluation.datasets.listing import Listing, Source, absent, below
from rar_agent.settings import Settings
from rar_agent.types import Category


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

    def missing(self, place: Path) -> list[str]:
        """The files, or the folder."""
        return absent(place, *filter(None, [self.test, self.train, self.images]))

    @override
    def read(self, place: Path, settings: Settings) -> Listing:
        """List the boxes; see `Source`. Boxes around crowds, and without an area, are left out."""
        root, tested = below(place, self.images), _load(below(place, self.test))
        listed = sorted(tested["categories"], key=lambda one: one["id"])
        position = {one["id"]: at for at, one in enumerate(listed)}
        if self.train:
            train = _boxes(
                _load(below(place, self.train)), root, position, below(place, self.train)
            )
            test = _boxes(tested, root, position, below(place, self.test))
        else:
            every = _boxes(tested, root, position, below(place, self.test))
            of = sorted({_image(one) for one in every})
            order = sorted(of, key=lambda name: hashlib.sha256(name.encode()).digest())
            asked = set(order[: round(self.test_share * len(order))])
            train = [one for one in every if _image(one) not in asked]
            test = [one for one in every if _image(one) in asked]
        return Listing(
            [_category(one) for one in listed],
            train,
            test,
            rare=frozenset(at for at, one in enumerate(listed) if one.get("frequency") == "r"),
        )


def _image(one: LabelledImage) -> str:
    """Path of a box's image."""
    return one.key.rpartition("#")[0]


def _load(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DamagedDataError(f"'{file}' cannot be read: {error}.", "Get it again.") from error
    lacking = {"images", "annotations", "categories"} - set(
        found if isinstance(found, dict) else ()
    )
    if lacking:
        raise DamagedDataError(
            f"'{file}' is not in COCO's format: it has no {', '.join(sorted(lacking))}.",
            "Name the file with the boxes.",
        )
    return cast(dict[str, Any], found)


def _category(one: dict[str, Any]) -> Category:
    """A category, with LVIS's synonyms and definition."""
    name = str(one["name"])
    others = [str(word).replace("_", " ") for word in one.get("synonyms", ())]
    return Category(
        name=name,
        aliases=tuple(word for word in others if word != name.replace("_", " ")),
        description=str(one.get("def", "")),
    )


def _boxes(
    found: dict[str, Any], root: Path, position: dict[int, int], file: Path
) -> list[LabelledImage]:
    try:
        paths = {one["id"]: _path(one) for one in found["images"]}
        return [
            LabelledImage(
                f"{paths[one['image_id']]}#{one['id']}",
                root / paths[one["image_id"]],
                position[one["category_id"]],
                _box(one["bbox"]),
                float(one.get("area") or one["bbox"][2] * one["bbox"][3]),
            )
            for one in sorted(found["annotations"], key=lambda one: (one["image_id"], one["id"]))
            if not one.get("iscrowd") and min(one["bbox"][2:]) > 0
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DamagedDataError(
            f"'{file}' has a box that cannot be read: {error!r}.", "Get it again."
        ) from error


def _box(given: Sequence[float]) -> Box:
    left, top, width, height = map(float, given)
    return left, top, width, height


def _path(image: dict[str, Any]) -> str:
    """Where an image is, below the folder of images; LVIS gives COCO's URL in place of it."""
    if name := image.get("file_name"):
        return str(name)
    return "/".join(urlsplit(image["coco_url"]).path.split("/")[-2:])
