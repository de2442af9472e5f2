"""A file of annotations in COCO's format, checked once, so that what reads it need not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
)

from rar_agent.errors import DamagedDataError

_Id = StrictInt | StrictStr
_Number = Annotated[FiniteFloat, Field(strict=True)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Image(_Part):
    id: _Id
    file_name: StrictStr | None = None
    coco_url: StrictStr | None = None
    neg_category_ids: list[_Id] = []
    not_exhaustive_category_ids: list[_Id] = []


class _Category(_Part):
    id: _Id
    name: Annotated[StrictStr, Field(min_length=1)] | StrictInt
    synonyms: list[StrictStr] = []


class _Object(_Part):
    id: _Id
    image_id: _Id
    category_id: _Id
    bbox: tuple[_Number, _Number, _Number, _Number]
    area: _Number | None = None
    iscrowd: StrictBool | Annotated[StrictInt, Field(ge=0, le=1)] | None = None


class _File(_Part):
    images: Annotated[list[_Image], FailFast()]
    categories: Annotated[list[_Category], FailFast()]
    annotations: Annotated[list[_Object], FailFast()]


def read_json(file: Path) -> Any:  # noqa: ANN401 - plain data
    """Plain data from a file of JSON.

    Raises:
        DamagedDataError: It cannot be read.
    """
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(file, str(error)) from error


def read_coco(file: Path) -> dict[str, Any]:
    """What a file of annotations has, as it is written.

    All ids of a kind are numbers or all are texts, and those of images and categories are unique.
    Each box, those around crowds too, is of an image and a category of the file, and has four
    finite numbers; each image has a path.

    Raises:
        DamagedDataError: It cannot be read, or is not so.
    """
    found = read_json(file)
    lacking = {"images", "annotations", "categories"} - set(
        found if isinstance(found, dict) else ()
    )
    if lacking:
        raise DamagedDataError(
            f"'{file}' is not in COCO's format: it has no {', '.join(sorted(lacking))}.",
            "Name the file with the boxes.",
        )
    try:
        whole = _File.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise _damaged(file, f"{where} = {str(first['input'])[:99]}: {first['msg']}") from error
    if why := next(_wrong(whole), ""):
        raise _damaged(file, why)
    return cast(dict[str, Any], found)


def _wrong(whole: _File) -> Iterator[str]:
    """What does not fit together."""
    known: dict[str, set[int | str]] = {}
    for kind, parts in (
        ("image", whole.images),
        ("category", whole.categories),
        ("annotation", whole.annotations),
    ):
        ids = [one.id for one in parts]
        known[kind] = set(ids)
        if len({type(one) for one in ids}) > 1:
            yield f"some ids of {kind} are numbers, and some are texts"
        if kind != "annotation" and len(known[kind]) < len(ids):
            yield f"the {kind} id {Counter(ids).most_common(1)[0][0]!r} is there twice"
    for image in whole.images:
        if not (image.file_name or image.coco_url):
            yield f"image {image.id!r} has neither file_name nor coco_url"
    for one in whole.annotations:
        for kind, number in (("image", one.image_id), ("category", one.category_id)):
            if number not in known[kind]:
                yield f"annotation {one.id!r} is of {kind} {number!r}, which is not there"


def _damaged(file: Path, why: str) -> DamagedDataError:
    return DamagedDataError(f"'{file}' cannot be read: {why}.", "Get it again, or correct it.")
