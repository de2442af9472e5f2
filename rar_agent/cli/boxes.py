"""Boxes from a file, for the images of a command; results for COCO's tools."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, cast, get_args

from rar_agent.detection import Form, Proposal, read_boxes
from rar_agent.detection.coco import CocoBoxes, ImageId, coco_of, to_results
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
            InputError: A box is none, there are too many, or the image is of another size than the
                file says.
            NotFoundError: A file of COCO's has no such image.
        """
        if self.coco is not None:
            found = _listed(self.coco, image, source)
        else:
            try:
                found = read_boxes(self.listed, image.rgb.size, self.form)
            except InputError as error:
                raise InputError(f"{self.name}: {error.message}", _in_command(error.fix)) from error
        if len(found) > most:
            raise InputError(
                f"{self.name} has {len(found):,} boxes for '{source}', more than {most:,}.",
                "Give fewer, or set RAR_MAX_BOXES.",
            )
        return found


def _listed(coco: CocoBoxes, image: AdmittedImage, source: str) -> list[Proposal]:
    try:
        number = coco.id_of(PurePath(source))
    except InputError as error:
        if coco.images:
            raise
        fix = "Give --annotations FILE, which lists it."  # results alone: its name is no number
        raise type(error)(error.message, fix) from error
    size = coco.sizes.get(number, image.rgb.size)
    if size != image.rgb.size:
        wide, high = image.rgb.size
        raise InputError(
            f"'{source}' is listed as {size[0]}x{size[1]} in '{coco.listing}', and is "
            f"{wide}x{high} upright.",
            "Give the image that was listed, or its size and boxes in pixels of the upright one.",
        )
    return coco.of(number)


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
    found = _parsed(_bytes(name), said)
    if form == "coco" or (form is None and _is_coco(found)):
        file = Path("standard input" if name == "-" else name)
        return BoxesFile(said, coco=coco_of(found, file, annotations))
    return BoxesFile(said, cast(Form, form or "xywh"), [] if found is None else found)


def _bytes(name: str) -> bytes:
    with _reading(name, "Name a JSON file of boxes, or - to pipe them."):
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def check_readable(annotations: Path) -> None:
    """Say so where there is no such file, whether it is needed or not.

    Raises:
        InputError: It cannot be read.
    """
    fix = "Name the file in COCO's format that lists the images."
    with _reading(str(annotations), fix), annotations.open("rb") as file:
        file.read(1)


@contextmanager
def _reading(name: str, fix: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: of a path with a zero byte
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"'{name}' cannot be read: {reason}.", fix) from error


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
        rows: What is to be written.
    """

    file: Path
    listing: CocoBoxes
    categories: Mapping[str, int | None]
    about: str
    limit: int
    weight: float
    rows: list[dict[str, Any]] = field(default_factory=list)

    def id_of(self, source: str) -> ImageId:
        """An image's id; see `CocoBoxes.id_of`."""
        return self.listing.id_of(PurePath(source))

    def add(self, source: str, found: Detections) -> None:
        """Those of an image."""
        self.rows.extend(
            to_results(found, self.id_of(source), self.categories, self.limit, self.weight)
        )

    def write(self) -> None:
        """Write those of all images.

        Raises:
            InputError: They cannot be written.
        """
        try:
            self.file.write_text(json.dumps(self.rows), encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"'{self.file}' cannot be written: {error.strerror}.", "Name a file in a folder."
            ) from error


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
        listing = coco_of([], annotations, annotations)  # of what it has, the list alone
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
        return found, f"by name, as '{listing.listing}' has them{left}"
    order: dict[str, int | None] = {name: at for at, name in enumerate(names, start=1)}
    why = "names none of them" if listing.categories else "names none"
    return order, f"places in the memory, from 1: '{listing.listing}' {why}"


def _same(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
