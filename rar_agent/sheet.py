"""Contact sheets: each query beside its candidates, their nearest exemplars and probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from rar_agent.errors import ImageError
from rar_agent.images import ImageSource, Policy, admit
from rar_agent.types import RankedCategory, Recognition

Thumbnail = Callable[[int], bytes]
"""From an entry's id to a small JPEG of its image; empty where none is kept."""

CELL = 168
"""Side of a picture in pixels."""
MOST_ROWS = 200
"""Recognitions on one sheet."""
_CAPTION, _GAP = 44, 10
_INK, _QUIET, _PAPER, _EMPTY = "#1b1b1b", "#777777", "#ffffff", "#e9e9e9"
_ACCEPTED, _ABSTAINED = "#1a7f37", "#b35900"


def contact_sheet(
    recognitions: Sequence[Recognition],
    queries: Sequence[ImageSource],
    policy: Policy | None = None,
    thumbnail: Thumbnail | None = None,
) -> Image.Image:
    """Draw a sheet.

    Args:
        recognitions: One a row; the first `MOST_ROWS` are drawn.
        queries: Their images, read one at a time.
        policy: Limits on queries and exemplars.
        thumbnail: The memory's picture of an exemplar, for those whose files have gone.

    Returns:
        RGB image: the query first, then the candidates, best first; the answer is framed. A
        candidate without a picture has an empty cell, as a query that has gone has.
    """
    shown = list(zip(recognitions, queries, strict=True))[:MOST_ROWS]
    columns = 1 + max((len(r.categories) for r, _ in shown), default=0)
    size = (_GAP + columns * (CELL + _GAP), _GAP + max(1, len(shown)) * (CELL + _CAPTION + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (recognition, query) in enumerate(shown):
        top = _GAP + row * (CELL + _CAPTION + _GAP)
        name, decision = Path(recognition.source).name, recognition.decision
        _cell(sheet, draw, (_GAP, top), _picture(query, policy), name, decision)
        for column, ranked in enumerate(recognition.categories, start=1):
            left = _GAP + column * (CELL + _GAP)
            caption = f"{100 * ranked.probability:.1f} %"
            picture = _exemplar(ranked, policy, thumbnail)
            _cell(sheet, draw, (left, top), picture, ranked.category.name, caption)
            if column == 1:
                colour = _ACCEPTED if recognition.decision == "accepted" else _ABSTAINED
                draw.rectangle(
                    (left - 3, top - 3, left + CELL + 2, top + CELL + 2), None, colour, 3
                )
    return sheet


def _exemplar(
    ranked: RankedCategory, policy: Policy | None, thumbnail: Thumbnail | None
) -> Image.Image | None:
    """The nearest exemplar whose picture there is."""
    for exemplar in ranked.exemplars:
        picture = _picture(Path(exemplar.source), policy)
        if picture is None and thumbnail and (kept := thumbnail(exemplar.entry)):
            picture = _picture(kept, policy)
        if picture is not None:
            return picture
    return None


def _picture(source: ImageSource, policy: Policy | None) -> Image.Image | None:
    try:
        return admit(source, policy).rgb
    except ImageError:  # moved or deleted since
        return None


def _cell(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    picture: Image.Image | None,
    title: str,
    caption: str,
) -> None:
    left, top = place
    if picture is None:
        draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), _EMPTY)
        _text(draw, (left + 8, top + CELL // 2 - 8), "no image here", _QUIET)
    else:
        sheet.paste(ImageOps.pad(picture, (CELL, CELL), color=_EMPTY), place)
    _text(draw, (left, top + CELL + 4), title, _INK)
    _text(draw, (left, top + CELL + 22), caption, _QUIET)


def _text(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: str) -> None:
    font = ImageFont.load_default(14)
    while text and draw.textlength(text, font) > CELL:
        text = text[:-2].rstrip("…") + "…"
    draw.text(place, text, colour, font)
