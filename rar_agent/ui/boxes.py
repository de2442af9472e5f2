"""Boxes for the page: as they are written under the photo, and HTML of what is in each."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from PIL import Image

from rar_agent.detection import CropStyle, Proposal, crop, read_boxes
from rar_agent.detection.draw import draw
from rar_agent.errors import InputError
from rar_agent.images import MIME_TYPE, AdmittedImage, to_picture
from rar_agent.types import Detection
from rar_agent.ui import render
from rar_agent.ui.desk import Desk, Found
from rar_agent.ui.pictures import SIDE, Pictures
from rar_agent.words import Note, counted, notes, percent, spent

MOST = 100
"""Boxes of a photo; a page with more is read by nobody."""
_SHOWN = 1_600  # longer side of the photo with its boxes, in pixels
_HOW = "Write left, top, width and height in pixels of the photo, a box a line."


def read(text: object, size: tuple[int, int]) -> list[Proposal]:
    """Boxes as they are written under a photo.

    Args:
        text: A line for each, of four numbers: left, top, width and height in pixels. Or JSON: a
            list of such boxes, or of objects with `bbox`, as COCO has annotations and results.
        size: Width and height of the photo.

    Returns:
        None where nothing is written.

    Raises:
        InputError: Something is no box, or there are too many.
    """
    written = str(text or "").strip()
    try:
        boxes = read_boxes(_json(written) if written[:1] in ("[", "{") else _lines(written), size)
    except InputError as error:
        raise InputError(error.message, _HOW) from error
    if len(boxes) > MOST:
        raise InputError(
            f"{counted(len(boxes), 'box')} are written, and a page takes {MOST}.",
            "Leave some out, or use rar-agent detect.",
        )
    return boxes


def _json(written: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(written)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The boxes are no JSON: {error}.") from error


def _lines(written: str) -> list[list[float]]:
    boxes = []
    for line in filter(None, map(str.strip, written.splitlines())):
        try:
            boxes.append([float(number) for number in re.split(r"[,;\s]+", line.strip(",; "))])
        except ValueError as error:
            raise InputError(f"'{line[:60]}' is no box.") from error
    return boxes


@dataclass(frozen=True)
class Row:
    """A box as it is shown.

    Attributes:
        detection: What is in it.
        picture: Data URI of its crop, as it was recognised; empty where nothing of it is in the
            photo.
        exemplars: Of its best category.
        notes: What there is to say of it alone.
    """

    detection: Detection
    picture: str
    exemplars: tuple[render.Shown, ...]
    notes: tuple[Note, ...]


async def ask(desk: Desk, pictures: Pictures, photo: object, text: object, *chosen: object) -> str:
    """Recognise what is in the boxes of a photo.

    Args:
        desk: That is asked.
        pictures: Of exemplars.
        photo: As the browser names it.
        text: See `read`.
        *chosen: See `Desk.choice`.

    Returns:
        HTML of the answer.

    Raises:
        RarError: As `Recognizer.detect`, and where something is chosen that is not offered.
    """
    choice = desk.choice(*chosen)
    image = await asyncio.to_thread(desk.photo, photo)
    found = await desk.detect(image, choice, read(text, image.rgb.size))
    return await asyncio.to_thread(show, desk, pictures, image, found, choice.memory)


def show(desk: Desk, pictures: Pictures, image: AdmittedImage, found: Found, memory: str) -> str:
    """HTML of detections: the photo with its boxes, a row for each, and what was sent."""
    detections = found.detections
    opened, settings = desk.memory(memory), desk.settings
    style = CropStyle(
        settings.crop_scales, settings.crop_square, settings.crop_blur, settings.crop_outline
    )

    def picture(detection: Detection) -> str:
        """Its crop is made as small as it is shown: a large one takes a second."""
        return _uri(crop(image.rgb, detection.box, style, SIDE), SIDE)

    def row(detection: Detection) -> Row:
        ranked = detection.recognition.categories[:1] if detection.recognition else ()
        exemplars = [one for best in ranked for one in best.exemplars]
        return Row(
            detection,
            picture(detection) if detection.recognition else "",
            tuple(render.shown(exemplars, pictures.of(opened, exemplars), asked=True)),
            tuple(_own(detection)),
        )

    rows = [row(detection) for detection in detections.detections]
    known = sum(one.label is not None for one in detections.detections)
    return render.render(
        "boxes",
        source=detections.source,
        photo=_uri(draw(image.rgb, detections), _SHOWN),
        rows=rows,
        known=known,
        said=f"{known} of {counted(len(rows), 'box')} recognised",
        notes=list(_common(found)),
        times=render.times(detections.timings_ms),
        sent=Markup(found.sent),  # noqa: S704 - escaped where it was made
    )


def _uri(image: Image.Image, side: int) -> str:
    return f"data:{MIME_TYPE};base64,{to_picture(image, side).base64}"


def _own(detection: Detection) -> Iterator[Note]:
    """What there is to say of one box."""
    if detection.failure:
        yield Note(detection.failure.error, "warning")
    if found := detection.recognition:
        if runner := found.categories[1:2]:
            yield Note(f"or {runner[0].category.name}, {percent(runner[0].probability)}")
        yield from (note for note in notes(found) if note.tone != "plain")


def _common(found: Found) -> Iterator[Note]:
    """What there is to say of all boxes together."""
    detections = found.detections
    traces = [one.recognition.trace for one in detections.detections if one.recognition]
    for means in dict.fromkeys(trace.probability_means for trace in traces):
        yield Note(f"probability: {means}")
    for memory, method in dict.fromkeys((trace.memory, trace.method) for trace in traces):
        yield Note(f"memory: {memory}, scored by {method}")
    prompts = ", ".join(dict.fromkeys(trace.prompt for trace in traces if trace.prompt))
    if detections.asked:
        asked = f"{found.model} was asked about {counted(detections.asked, 'box')}"
        yield Note(f"{asked}: {prompts + ', ' if prompts else ''}{spent(detections.usage)}")
    else:
        nobody = f"{found.model} was not asked" if found.model else "no model was asked"
        yield Note(f"ranked by: retrieval alone, {nobody}")
    if detections.reason:
        yield Note(detections.reason)
