"""Boxes from a file, for the images of a command; results for COCO's tools."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any, cast, get_args

from rar_agent.detection import Form, Proposal, read_boxes
from rar_agent.detection.coco import CocoBoxes, ImageId, read_coco, to_results
from rar_agent.errors import InputError
from rar_agent.images import AdmittedImage
from rar_agent.recognizer import Recognizer
from rar_agent.types import Detections
from rar_agent.words import counted

FORMS = (*get_args(Form), "coco")


@dataclass(frozen=True)
class BoxesFile:
    """The boxes of a file.

    Attributes:
        name: For messages.
        form: Of boxes that do not say it themselves.
        listed: What the file holds; the same boxes for every image.
        coco: Boxes by image, where it is a file of COCO's.
    """

    name: str
    form: Form = "xywh"
    listed: object = None
    coco: CocoBoxes | None = None

    def of(self, image: AdmittedImage, source: str, most: int) -> list[Proposal]:
        """The boxes of an image.

        Args:
            image: The image, for its size.
            source: As it was named.
            most: So many boxes are allowed.

        Raises:
            InputError: A box is none, or there are too many.
            NotFoundError: A file of COCO's has no such image.
        """
        try:
            if self.coco is not None:
                found = self.coco.of(PurePath(source))
            else:
                found = read_boxes(self.listed, image.rgb.size, self.form)
        except InputError as error:
            if self.coco is not None and self.coco.images:
                raise
            if self.coco is not None:  # results alone, and the image's name is no number
                raise type(error)(
                    error.message, "Give --annotations FILE, which lists it."
                ) from error
            raise InputError(f"{self.name}: {error.message}", _in_command(error.fix)) from error
        if len(found) > most:
            raise InputError(
                f"{self.name} has {len(found):,} boxes for '{source}', more than {most:,}.",
                "Give fewer, or set RAR_MAX_BOXES.",
            )
        return found


def _in_command(fix: str) -> str:
    """What to do about boxes, said to who types commands."""
    if "read_coco" in fix:
        return "Give boxes of four numbers each, or a file in COCO's format and no other --format."
    return re.sub(r"form='([\w-]+)'", r"--format \1", fix)


def read_boxes_file(name: str, form: str | None, annotations: Path | None) -> BoxesFile:
    """Read a file of boxes.

    Args:
        name: Its path, `-` for standard input.
        form: One of `FORMS`; None: COCO's where the file is in COCO's format, else xywh.
        annotations: Lists the images of COCO's results.

    Raises:
        InputError: The form is unknown, or the file cannot be read.
    """
    if form not in (None, *FORMS):
        raise InputError(f"--format {form} is unknown.", f"Choose {', '.join(FORMS)}.")
    said = "standard input" if name == "-" else f"'{name}'"
    if form == "coco" and name != "-":
        return BoxesFile(said, coco=read_coco(Path(name), annotations))
    data = _bytes(name)
    found = _parsed(data, said)
    if form == "coco" or (form is None and _is_coco(found)):
        return BoxesFile(said, coco=_coco(name, data, annotations))
    return BoxesFile(said, cast(Form, form or "xywh"), [] if found is None else found)


def _bytes(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: of a path with a zero byte
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"'{name}' cannot be read: {reason}.", "Name a JSON file of boxes, or - to pipe them."
        ) from error


def _parsed(data: bytes, said: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{said} is not JSON: {error}.",
            "Write boxes as [[left, top, width, height], …], or name a file in COCO's format.",
        ) from error


def _is_coco(found: object) -> bool:
    """Annotations, or results."""
    if isinstance(found, Mapping):
        return "annotations" in found
    return isinstance(found, list) and any(
        isinstance(row, Mapping) and "image_id" in row for row in found[:1]
    )


def _coco(name: str, data: bytes, annotations: Path | None) -> CocoBoxes:
    if name != "-":
        return read_coco(Path(name), annotations)
    with TemporaryDirectory() as folder:  # they are read from files
        file = Path(folder) / "stdin.json"
        file.write_bytes(data)
        return replace(read_coco(file, annotations), file=Path("standard input"))


@dataclass(frozen=True)
class Results:
    """What is written for COCO's tools.

    Attributes:
        file: Where.
        listing: The images and the categories.
        categories: Id of each name of the memory; None of one that the listing lacks.
        about: How categories got their ids.
        limit: The surest so many of an image are kept.
        weight: Of the box's score.
    """

    file: Path
    listing: CocoBoxes
    categories: Mapping[str, int | None]
    about: str
    limit: int
    weight: float

    def id_of(self, source: str) -> ImageId:
        """An image's id; see `CocoBoxes.id_of`."""
        return self.listing.id_of(PurePath(source))

    def write(self, found: Sequence[tuple[ImageId, Detections]]) -> int:
        """Write those of all images.

        Returns:
            How many there are.

        Raises:
            InputError: They cannot be written.
        """
        rows = [
            row
            for image, one in found
            for row in to_results(one, image, self.categories, self.limit, self.weight)
        ]
        try:
            self.file.write_text(json.dumps(rows), encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"'{self.file}' cannot be written: {error.strerror}.", "Name a file in a folder."
            ) from error
        return len(rows)


def results_to(
    file: Path,
    boxes: BoxesFile | None,
    annotations: Path | None,
    recognizer: Recognizer,
    limit: int,
) -> Results:
    """How results are written.

    Args:
        file: Where.
        boxes: That are given; None where they are proposed.
        annotations: Lists the images and the categories, where the boxes' file does not.
        recognizer: For the names of the memory's categories.
        limit: Results of an image at most.

    Raises:
        InputError: Nothing lists the images, the limit is none, or the file cannot be written.
    """
    if limit < 1:
        raise InputError(f"--limit {limit} keeps nothing.", "Give 100 for COCO, 300 for LVIS.")
    if not file.absolute().parent.is_dir() or file.is_dir():
        raise InputError(f"'{file}' cannot be written.", "Name a file in a folder there is.")
    listing = boxes.coco if boxes else None
    if annotations and not (listing and listing.images):
        listing = read_coco(annotations)
    if listing is None:
        raise InputError(
            "--results needs the images' ids, and nothing lists the images.",
            "Give --annotations FILE, in COCO's format, too.",
        )
    names = [category.name for category in recognizer.memory.categories]
    categories, about = _numbered(names, listing)
    weight = recognizer.settings.box_weight
    return Results(file, listing, categories, about, limit, weight)


def _numbered(names: Sequence[str], listing: CocoBoxes) -> tuple[dict[str, int | None], str]:
    known: dict[str, int] = {}
    for number, name in listing.categories.items():
        known.setdefault(_same(name), number)
        known.setdefault(_same(f"{name} ({number})"), number)  # how a memory tells namesakes apart
    found = {name: known.get(_same(name)) for name in names}
    missing = sum(number is None for number in found.values())
    if missing < len(found):
        left = f"; {counted(missing, 'category')} it does not name are left out" if missing else ""
        return found, f"by name, as '{listing.file}' has them{left}"
    order: dict[str, int | None] = {name: at for at, name in enumerate(names, start=1)}
    why = "names none of them" if listing.categories else "names none"
    return order, f"places in the memory, from 1: '{listing.file}' {why}"


def _same(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
