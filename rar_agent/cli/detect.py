"""`rar-agent detect`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.cli.asked import (
    Coverage,
    ErrorRate,
    Images,
    JsonLines,
    K,
    MemoryName,
    MethodName,
    Only,
    Where,
    asked_of,
    require_model,
    sources,
)
from rar_agent.cli.options import BaseUrl, Model, Orders, RankerName
from rar_agent.errors import InputError

if TYPE_CHECKING:
    from rar_agent.cli.boxes import BoxesFile

_BOXES = "Boxes"
_OUT = "What is written"


def detect(
    images: Images = None,
    example: Annotated[
        bool, typer.Option("--example", help="Use the bundled sample photo and boxes.")
    ] = False,
    boxes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="JSON: a list of boxes, the same for every image, or annotations or results in "
            "COCO's format, where images are found by name; - is standard input.",
            rich_help_panel=_BOXES,
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORM",
            help="Of the list: xywh (left, top, width, height; the default), xyxy, cxcywh, each "
            "in pixels or as xywh-relative in shares of the image; or coco.",
            rich_help_panel=_BOXES,
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="COCO's file that lists the images and categories, where --boxes does not.",
            rich_help_panel=_BOXES,
        ),
    ] = None,
    proposer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="In place of --boxes, a detector that proposes them: "
            "torchvision:fasterrcnn_resnet50_fpn_v2, zero-shot:FOLDER.",
            rich_help_panel=_BOXES,
        ),
    ] = None,
    memory: MemoryName = None,
    k: K = None,
    coverage: Coverage = None,
    error_rate: ErrorRate = None,
    only: Only = None,
    where: Where = None,
    model: Model = None,
    base_url: BaseUrl = None,
    ranker: RankerName = None,
    orders: Orders = None,
    method: MethodName = "fitted",
    json: JsonLines = False,
    draw: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="Draw boxes and labels: to this file, or of several images into this folder.",
            rich_help_panel=_OUT,
        ),
    ] = None,
    min_score: Annotated[
        float,
        typer.Option(min=0, max=1, help="Least to show and to draw.", rich_help_panel=_OUT),
    ] = 0.0,
    nms: Annotated[
        float | None,
        typer.Option(
            metavar="IOU",
            min=0,
            max=1,
            help="Of boxes of one category that overlap more, keep the surest: 0.5.",
            rich_help_panel=_OUT,
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write results in COCO's format, as its tools take them.",
            rich_help_panel=_OUT,
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(help="Of --results, an image; LVIS's tools take 300.", rich_help_panel=_OUT),
    ] = 100,
) -> None:
    """Recognise what is in each box of an image: labels, probabilities and evidence.

    Boxes are given in a file, or proposed by a detector.
    """
    from rar_agent.cli.boxes import check_readable, results_to
    from rar_agent.cli.detecting import Detecting
    from rar_agent.cli.drawings import Drawings, spare
    from rar_agent.recognizer import Recognizer
    from rar_agent.settings import load_settings

    if annotations:
        check_readable(annotations)
    named, given = _given(images or [], example, boxes, form, annotations)
    found = list(sources(named, "detect"))
    asked = asked_of(method, k, coverage, error_rate, only, where)
    settings = load_settings(
        memory=memory,
        model=model,
        k=k,
        coverage=coverage,
        error_rate=error_rate,
        base_url=base_url,
        ranker=ranker,
        orders=orders,
        proposer=proposer,
    )
    require_model(settings, {"ranker": ranker, "orders": orders})
    if given and proposer:
        raise InputError("--proposer takes the place of --boxes.", "Give one of them.")
    if given is None and settings.proposer is None:
        raise InputError(
            "There are no boxes.",
            "Give --boxes FILE, or --proposer torchvision:fasterrcnn_resnet50_fpn_v2.",
        )
    read: list[str | Path] = [*found, *(one for one in (boxes, annotations) if one)]
    spare([results] if results else [], read)
    drawings = Drawings(draw, found, read) if draw else None
    recognizer = Recognizer(settings=settings)
    detecting = Detecting(
        recognizer,
        given,
        asked,
        json,
        least=min_score,
        iou=nms,
        drawings=drawings,
        results=results_to(results, given, annotations, recognizer, limit) if results else None,
    )
    detecting.run(found)


def _given(
    images: Sequence[str],
    example: bool,
    boxes: str | None,
    form: str | None,
    annotations: Path | None,
) -> tuple[list[str], BoxesFile | None]:
    """The images that are named, and their boxes; None where they are to be proposed."""
    from rar_agent.cli.boxes import BoxesFile, read_boxes_file

    if form and not boxes:
        raise InputError(f"--format {form} says how boxes are given.", "Give --boxes FILE too.")
    if example:
        from rar_agent.example import EXAMPLE_BOXES, example_scene

        if images or boxes:
            raise InputError("--example has an image and boxes.", "Give it alone, or leave it out.")
        return [str(example_scene())], BoxesFile("the example", listed=EXAMPLE_BOXES)
    return list(images), read_boxes_file(boxes, form, annotations) if boxes else None
