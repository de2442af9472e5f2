"""Boxes as people, files and detectors give them, read into one form: proposals."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from rar_agent.detection.proposal import Proposal
from rar_agent.errors import InputError
from rar_agent.types import Box

Form = Literal["xywh", "xyxy", "cxcywh", "xywh-relative", "xyxy-relative", "cxcywh-relative"]
"""What the four numbers of a box are: pixels, or shares of the image's width and height."""

_MEANS = {
    "xywh": "left, top, width, height",
    "xyxy": "left, top, right, bottom",
    "cxcywh": "centre's x and y, width, height",
}
_MOST_RELATIVE = 1.5
"""Objects at the edge may reach over it; what is further out was given in pixels."""
_MOST_PIXELS = 1e9
"""No image is as large; beyond it, sides of a box are lost to rounding."""
_LONGEST_ID = 200
_ROUNDING = 1e-6
"""How far above 1 single precision may carry a score, or a side that is the image's."""


@dataclass(frozen=True)
class _Rows:
    """Boxes with what was said of each; empty lists where nothing was said of any."""

    boxes: Sequence[Any]
    form: Form
    scores: Sequence[Any] = ()
    names: Sequence[Any] = ()
    ids: Sequence[Any] = ()
    chosen: bool = False
    """Whether the form is the caller's to say, and not the format's."""
    read: bool = False
    """Whether they are proposals, whose form nobody need guess at."""


def read_boxes(given: object, size: tuple[int, int], form: Form = "xywh") -> list[Proposal]:
    """Read the boxes of one image.

    Args:
        given: One of these; none at all is fine.

            - Boxes of four numbers each: an array or a tensor (n, 4), or a list of lists.
            - Dicts, with `box` (four numbers; `xmin`, `ymin`, `xmax`, `ymax` in pixels, as
              transformers' pipelines give it) or `bbox` (COCO's: xywh in pixels, whatever `form`
              says), and where known `score`, `name` or `label`, and `id`.
            - A `supervision.Detections`; its tracker's ids are the boxes'.
            - A dict of `boxes` (xyxy in pixels), `scores` and `labels` or `text_labels`, as
              torchvision's and transformers' detectors return for one image.
            - Proposals.
        size: Width and height of the upright image, in pixels.
        form: Of boxes that do not say it themselves; relative ones are shares of `size`.

    Returns:
        One for each box, in the same order, also of boxes that reach over the image's edge or lie
        outside of it. A label that is a number says nothing without its detector, so it is no name.

    Raises:
        InputError: Something is not a box: its number (from 1) and value are in the message.
    """
    if form not in get_args(Form):
        raise InputError(f"'{form}' is no form of boxes.", f"Say {', '.join(get_args(Form))}.")
    rows = _rows(given, form)
    boxes = _pixels(_numbers(rows.boxes), rows, size)
    known = [
        _aligned(values, what, len(boxes))
        for values, what in ((rows.scores, "scores"), (rows.names, "labels"), (rows.ids, "ids"))
    ]
    return [
        Proposal(
            box=cast(Box, tuple(box)),
            score=_score(score, at, len(boxes)),
            name=str(name) if isinstance(name, str) else "",
            id=_id(one, at, len(boxes)),
        )
        for at, (box, score, name, one) in enumerate(zip(boxes.tolist(), *known, strict=True))
    ]


def _rows(given: object, form: Form) -> _Rows:
    if hasattr(given, "xyxy"):
        data = getattr(given, "data", None)
        return _Rows(
            _plain(given.xyxy),
            "xyxy",
            _plain(getattr(given, "confidence", None)),
            _plain(data.get("class_name") if isinstance(data, Mapping) else None),
            _plain(getattr(given, "tracker_id", None)),
        )
    if isinstance(given, Mapping):
        return _result(given)
    plain = _plain(given)
    if given is None or isinstance(plain, str | bytes) or not isinstance(plain, Iterable):
        raise InputError(
            f"{reprlib.repr(given)} is no list of boxes.",
            "Give boxes of four numbers each; a file of COCO's is for read_coco.",
        )
    plain = list(plain)
    read = bool(plain) and all(isinstance(one, Proposal) for one in plain)
    rows = [
        {"bbox": one.box, "score": one.score, "name": one.name, "id": one.id}
        if isinstance(one, Proposal)
        else _plain(one)
        for one in plain
    ]
    if any(isinstance(row, Mapping) for row in rows):
        return replace(_dicts(rows, form), read=read)
    return _Rows(rows, form, chosen=True)


def _result(given: Mapping[str, Any]) -> _Rows:
    """A detector's result for one image."""
    if "boxes" not in given:
        raise InputError(
            f"A dict with {', '.join(map(str, given)) or 'nothing'} has no boxes.",
            "Put it in a list."
            if {"box", "bbox"} & given.keys()
            else "Read a file of COCO's by read_coco."
            if "annotations" in given
            else "Name them boxes.",
        )
    labels = given.get("text_labels")
    labels = given.get("labels") if labels is None else labels
    return _Rows(_plain(given["boxes"]), "xyxy", _plain(given.get("scores")), _plain(labels))


def _dicts(rows: list[Any], form: Form) -> _Rows:
    """Boxes that each say more; all have it in the same place, as the first does."""
    key = "bbox" if isinstance(rows[0], Mapping) and "bbox" in rows[0] else "box"
    for at, row in enumerate(rows):
        if not (isinstance(row, Mapping) and key in row):
            raise InputError(
                f"{_box(row, at, len(rows))} has no {key}.",
                "Give each box in the same way: four numbers, or a dict with box, or with bbox.",
            )
    boxes = [_plain(row[key]) for row in rows]
    corners = ("xmin", "ymin", "xmax", "ymax")
    if named := all(isinstance(box, Mapping) and box.keys() >= set(corners) for box in boxes):
        boxes = [[box[corner] for corner in corners] for box in boxes]
    return _Rows(
        boxes,
        "xywh" if key == "bbox" else "xyxy" if named else form,
        [row.get("score") for row in rows],
        [row.get("name", row.get("label")) for row in rows],
        [row.get("id") for row in rows],
        chosen=not named and key == "box",
    )


def _plain(given: Any) -> Any:  # noqa: ANN401 - arrays and tensors of any library
    """Lists of what arrays and tensors hold, wherever they are; nothing is an empty list."""
    if given is None:
        return []
    return given.tolist() if hasattr(given, "tolist") else given


def _numbers(boxes: Sequence[Any]) -> NDArray[np.float64]:
    """(n, 4)."""
    if isinstance(boxes, str | bytes) or not isinstance(boxes, Sequence):
        raise InputError(f"{reprlib.repr(boxes)} is no list of boxes.", "Give four numbers each.")
    found = [_four(box, at, len(boxes)) for at, box in enumerate(boxes)]
    return np.array(found, np.float64).reshape(-1, 4)


def _four(box: Any, at: int, of: int) -> list[float]:  # noqa: ANN401 - whatever was given
    if isinstance(box, str | bytes | Mapping) or not isinstance(box, Iterable):
        one = isinstance(box, int | float)
        raise InputError(
            f"{_box(box, at, of)} is not four numbers.",
            "Put boxes in a list, also a single one." if one else "Give each box as a list.",
        )
    values = list(box)
    if len(values) != 4:
        more = " A score goes into a dict: box and score." if len(values) in (5, 6) else ""
        raise InputError(
            f"{_box(values, at, of)} has {len(values)} numbers.", f"Give four for each box.{more}"
        )
    found = [_number(value) for value in values]
    if None in found:
        raise InputError(f"{_box(values, at, of)} is not four numbers.", "Give numbers.")
    return cast(list[float], found)


def _number(value: Any) -> float | None:  # noqa: ANN401 - whatever was given
    if isinstance(value, str | bytes | bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None


def _pixels(given: NDArray[np.float64], rows: _Rows, size: tuple[int, int]) -> NDArray[np.float64]:
    """(n, 4) left, top, width, height in pixels."""
    kind, _, relative = rows.form.partition("-")

    def check(fine: NDArray[np.bool_], what: str, fix: str) -> None:
        if not fine.all():
            at = int(np.argwhere(~fine)[0, 0])
            raise InputError(f"{_box(given[at].tolist(), at, len(given))} {what}.", fix)

    check(
        np.isfinite(given),
        "has a number that is not finite",
        "Correct it, or leave it out.",
    )
    check(
        np.abs(given) <= _MOST_PIXELS,
        f"is more than {_MOST_PIXELS:.0e} pixels away",
        "Correct it, or leave it out.",
    )
    if relative:
        check(
            np.abs(given) <= _MOST_RELATIVE,
            f"is far outside of an image whose sides are 1, as in {rows.form}",
            f"If it is in pixels, say form='{kind}'.",
        )
    found = given * np.tile(size, 2) if relative else given.copy()
    with np.errstate(over="ignore"):
        if kind == "xyxy":
            found[:, 2:] -= found[:, :2]
        elif kind == "cxcywh":
            found[:, :2] -= found[:, 2:] / 2
    check(
        np.isfinite(found) & (found > [-np.inf, -np.inf, 0, 0]),
        f"has no area, read as {_MEANS[kind]}",
        "Leave it out" + (f", or say another form than {rows.form}." if rows.chosen else "."),
    )
    first = (found[:, :2] >= 0).all() and (found[:, :2] + found[:, 2:] <= 1 + _ROUNDING).all()
    if len(found) and not relative and not rows.read and first and min(size) > 1:
        raise InputError(
            f"All boxes ({len(found)}) are within the first pixel of an image of "
            f"{size[0]}x{size[1]}: they look relative to its size.",
            f"Say form='{kind}-relative'."
            if rows.chosen
            else "Multiply them by its width and height (transformers: give target_sizes).",
        )
    return found


def _aligned(values: Sequence[Any], what: str, of: int) -> Sequence[Any]:
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise InputError(f"{reprlib.repr(values)} is no list of {what}.", "Give one for each box.")
    if len(values) not in (0, of):
        raise InputError(
            f"There are {len(values)} {what} and {of} boxes.", "Give one for each box, or none."
        )
    return values or [None] * of


def _score(given: Any, at: int, of: int) -> float | None:  # noqa: ANN401 - whatever was given
    if given is None:
        return None
    found = _number(given)
    if found is None or not 0 <= found <= 1 + _ROUNDING:
        raise InputError(
            f"The score of box {at + 1} of {of} is {reprlib.repr(given)}.",
            "Give a number from 0 to 1, or none.",
        )
    return min(found, 1.0)


def _id(given: Any, at: int, of: int) -> str:  # noqa: ANN401 - whatever was given
    found = "" if given is None else str(given)
    if len(found) > _LONGEST_ID:
        raise InputError(
            f"The id of box {at + 1} of {of} has {len(found)} characters.",
            f"Give {_LONGEST_ID} at most.",
        )
    return found


def _box(given: Any, at: int, of: int) -> str:  # noqa: ANN401 - whatever was given
    return f"Box {at + 1} of {of}, {reprlib.repr(given)},"
