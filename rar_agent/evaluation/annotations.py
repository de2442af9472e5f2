"""What is around in the images of a run, in COCO's format: average precision is against it.

A data set of boxes has it whole, a run's folder what belongs to its images, and a cell's figures
are against what was asked in it. Beside COCO's keys and LVIS's, `info` says whether the boxes asked
about are given or proposed, and at which overlap equal names suppress each other; `proposals` of an
image says how many it has. Tools that read COCO's format pass such keys over.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, FiniteFloat, ValidationError

from rar_agent.durable import replace_file
from rar_agent.errors import DamagedDataError
from rar_agent.evaluation.record import Record

ANNOTATIONS = "annotations.json"
"""In a run's folder, where it is of boxes."""
_SEARCHED = "neg_category_ids"
"""Categories that were looked for in an image, and are not there."""


LOST = f"the run's {ANNOTATIONS}, which says what is around, is not there"
"""Why there is no average precision."""


class _Image(BaseModel):
    id: int | str
    file_name: str
    neg_category_ids: list[int | str] = []
    not_exhaustive_category_ids: list[int | str] = []


class _Category(BaseModel):
    id: int | str
    name: str


class _Object(BaseModel):
    id: int | str
    image_id: int | str
    category_id: int | str
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    area: FiniteFloat
    iscrowd: int


class _Annotations(BaseModel):
    info: dict[str, Any]
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Object]


def proposed(annotations: Mapping[str, Any]) -> bool:
    """Whether boxes were proposed by a detector; else there are none, or those annotated."""
    return bool(annotations.get("info", {}).get("boxes") == "proposed")


def federated(annotations: Mapping[str, Any]) -> bool:
    """Whether each image says what was looked for, as LVIS's do: nothing else counts there."""
    return any(_SEARCHED in image for image in annotations["images"])


def write_annotations(
    folder: Path, annotations: Mapping[str, Any], asked: Collection[str], whole: bool
) -> None:
    """Write down what belongs to the images of a run; nothing where it is of no boxes.

    Args:
        folder: The run's.
        annotations: Of the data set.
        asked: Keys of its boxes.
        whole: Whether each cell asks about all boxes there are, so that what is in images in which
            nothing was proposed counts as not found.

    Raises:
        OSError: The disk is full, or nothing may be written there.
    """
    if not annotations:
        return
    files = {_file(key) for key in asked}
    kept = [
        image
        for image in annotations["images"]
        if image["file_name"] in files or (whole and image.get("proposals") == 0)
    ]
    text = json.dumps(_of_images(annotations, kept), ensure_ascii=False)
    replace_file(folder / ANNOTATIONS, text.encode())


def read_annotations(folder: Path) -> dict[str, Any]:
    """What a run's folder has of it; empty where there is no such file, see `lost`.

    Raises:
        DamagedDataError: There is one that cannot be read.
    """
    file = folder / ANNOTATIONS
    try:
        found = json.loads(file.read_bytes())
        _Annotations.model_validate(found)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        why = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            why = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
        raise DamagedDataError(
            f"'{file}' cannot be read: {why}.",
            "Run the suite again with the same --out, which writes it anew and keeps all answers.",
        ) from error
    return {str(key): value for key, value in found.items()}


def lost(described: Mapping[str, Any], annotations: Mapping[str, Any]) -> bool:
    """Whether a run's annotations belong to it and are not there.

    Args:
        described: What `run.json` says; that of before it told whether there are any says nothing.
        annotations: What its folder has.
    """
    return bool(described["dataset"].get("annotated")) and not annotations


def against(records: Sequence[Record], annotations: Mapping[str, Any]) -> dict[str, Any]:
    """What the answers of a cell are measured against, as the official tools read it.

    Of given boxes: those that have a record, and boxes around crowds in their images, in which
    COCO's tool counts no name as wrong. What is in an image without having been asked about still
    is among what was looked for there. Of proposed boxes: all that is in the images with a record,
    and in those without a proposal. Annotations are numbered from 1, because the tools take a match
    with number 0 for none.

    Args:
        records: Of one cell.
        annotations: Of the run; empty: the records say all that there is.
    """
    if not annotations:
        return _of_records(records)
    keys = {record.sample for record in records}
    files = {_file(key) for key in keys}
    if proposed(annotations):
        kept = [
            image
            for image in annotations["images"]
            if image["file_name"] in files or image.get("proposals") == 0
        ]
        return _numbered(_of_images(annotations, kept))
    found = _of_images(
        annotations, [image for image in annotations["images"] if image["file_name"] in files]
    )
    paths = {image["id"]: image["file_name"] for image in found["images"]}
    there, beside = [], defaultdict(set)
    for one in found["annotations"]:
        if one["iscrowd"] or f"{paths[one['image_id']]}#{one['id']}" in keys:
            there.append(one)
        else:
            beside[one["image_id"]].add(one["category_id"])
    images = [
        {**image, _SEARCHED: sorted({*image[_SEARCHED], *beside[image["id"]]})}
        if _SEARCHED in image
        else image
        for image in found["images"]
    ]
    return _numbered({**found, "images": images, "annotations": there})


def _of_images(annotations: Mapping[str, Any], images: list[dict[str, Any]]) -> dict[str, Any]:
    ids = {image["id"] for image in images}
    there = [one for one in annotations["annotations"] if one["image_id"] in ids]
    return {**annotations, "images": images, "annotations": there}


def _numbered(annotations: dict[str, Any]) -> dict[str, Any]:
    there = [{**one, "id": at} for at, one in enumerate(annotations["annotations"], 1)]
    return {**annotations, "annotations": there}


def _of_records(records: Sequence[Record]) -> dict[str, Any]:
    names = {name: at for at, name in enumerate(sorted({one.truth for one in records}), 1)}
    images = {
        file: at for at, file in enumerate(dict.fromkeys(_file(r.sample) for r in records), 1)
    }
    return {
        "info": {"boxes": "given"},
        "images": [{"id": number, "file_name": file} for file, number in images.items()],
        "categories": [{"id": number, "name": name} for name, number in names.items()],
        "annotations": [
            {
                "id": at,
                "image_id": images[_file(one.sample)],
                "category_id": names[one.truth],
                "bbox": list(one.box or ()),
                "area": one.area,
                "iscrowd": 0,
            }
            for at, one in enumerate(records, 1)
        ],
    }


def _file(key: str) -> str:
    """Path of a box's image."""
    return key.rpartition("#")[0]
