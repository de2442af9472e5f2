"""Small pictures for a report: a stated number of them, errors first."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from PIL import Image

from rar_agent.evaluation.record import Record

PICTURES = 2_000
"""Test images that have a thumbnail, at most."""
EXEMPLARS = 1_000
"""Exemplars that have one, at most."""
SIDE = 128
_QUALITY = 70

Picture = Callable[[str], Image.Image | None]
"""From the key of a test image, or the source of an exemplar, to its pixels; None: there are
none to show."""


@dataclass(frozen=True)
class Thumbnails:
    """JPEGs by the key or source of their image.

    Attributes:
        jpegs: Base64 each.
        shown: Test images among them.
        images: Test images there are.
    """

    jpegs: dict[str, str]
    shown: int
    images: int

    def uri(self, key: str) -> str:
        """As a data URI; empty where there is none."""
        jpeg = self.jpegs.get(key)
        return f"data:image/jpeg;base64,{jpeg}" if jpeg else ""


def make_thumbnails(
    records: Sequence[Record],
    picture: Picture,
    first: Iterable[str] = (),
    most: int = PICTURES,
    most_exemplars: int = EXEMPLARS,
) -> Thumbnails:
    """Thumbnails of the first records, and of the exemplars that spoke there.

    Args:
        records: In order of interest.
        picture: Where pixels come from; asked once for each of these.
        first: Keys of test images that come before.
        most: Test images that are shown, at most.
        most_exemplars: Exemplars that are, at most.
    """
    keys = dict.fromkeys([*first, *(record.sample for record in records)])
    sources = dict.fromkeys(seen.source for record in records for seen in record.seen)
    queries = _taken(keys, picture, most)
    exemplars = _taken(
        (source for source in sources if source not in queries), picture, most_exemplars
    )
    return Thumbnails({**exemplars, **queries}, len(queries), len(keys))


def _taken(keys: Iterable[str], picture: Picture, most: int) -> dict[str, str]:
    found = ((key, picture(key)) for key in islice(keys, most))
    return {key: _jpeg(image) for key, image in found if image is not None}


def _jpeg(image: Image.Image) -> str:
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    held = io.BytesIO()
    small.save(held, "JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(held.getvalue()).decode()
