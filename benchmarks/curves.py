"""A picture of what `benchmarks.cascade` found: accuracy and calls against the ranker's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.simulated import KINDS

_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")
_SIDE, _GAP, _LEFT, _TOP = 250, 34, 60, 62
_ROWS = (("ranked", "accuracy, %"), ("calls", "asked about, %"))


def draw(found: Sequence[dict[str, Any]], path: Path) -> None:
    """Write a picture: a column for each data set and number of shots, a line for each kind.

    Args:
        found: Rows of `benchmarks.cascade`; means over seeds are drawn.
        path: Ends in .png.
    """
    settings = list(dict.fromkeys((row["data"], row["shots"]) for row in found))
    width = _LEFT + len(settings) * (_SIDE + _GAP)
    image = Image.new("RGB", (width, _TOP + len(_ROWS) * (_SIDE + _GAP) + 14), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for place, kind in enumerate(KINDS):
        x = _LEFT + 110 * place
        pen.line((x, 16, x + 22, 16), _COLOURS[place], 3)
        pen.text((x + 28, 8), kind, "black", font)
    pen.line((_LEFT + 660, 16, _LEFT + 682, 16), "#999999", 2)
    pen.text((_LEFT + 688, 8), "retrieval alone", "black", font)
    for column, (data, shots) in enumerate(settings):
        part = [row for row in found if (row["data"], row["shots"]) == (data, shots)]
        left = _LEFT + column * (_SIDE + _GAP)
        pen.text((left, 38), f"{data}, {shots} shots", "black", font)
        for line, (what, title) in enumerate(_ROWS):
            corner = (left, _TOP + line * (_SIDE + _GAP))
            alone = float(np.mean([row["retrieval"] for row in part])) if line == 0 else None
            floor = 5 * (int(min(row["ranked"] for row in part)) // 5) if line == 0 else 0
            _panel(pen, font, part, what, corner, floor, alone)
            pen.text((left + 8, corner[1] + 4), title, "black", font)
    pen.text((_LEFT, image.height - 18), "the ranker's own accuracy, %", "black", font)
    image.save(path)


def _panel(
    pen: ImageDraw.ImageDraw,
    font: Any,  # noqa: ANN401 - Pillow has two kinds
    part: Sequence[dict[str, Any]],
    what: str,
    corner: tuple[int, int],
    floor: int,
    alone: float | None,
) -> None:
    left, top = corner

    def at(x: float, y: float) -> tuple[float, float]:
        return left + _SIDE * x / 100, top + _SIDE * (100 - y) / (100 - floor)

    pen.rectangle((left, top, left + _SIDE, top + _SIDE), outline="#bbbbbb")
    for tick in (0, 20, 40, 60, 80, 100):
        pen.text((at(tick, 0)[0] - 6, top + _SIDE + 2), str(tick), "#555555", font)
    for tick in range(floor, 101, 20 if floor < 60 else 5):
        pen.text((left - 26, at(0, tick)[1] - 8), str(tick), "#555555", font)
    if alone is not None:
        pen.line((at(0, alone), at(100, alone)), "#999999", 2)
    for place, kind in enumerate(KINDS):
        rows = [row for row in part if row["kind"] == kind]
        points = sorted(
            (
                float(np.mean([row["true"] for row in rows if row["accuracy"] == accuracy])),
                float(np.mean([row[what] for row in rows if row["accuracy"] == accuracy])),
            )
            for accuracy in {row["accuracy"] for row in rows}
        )
        pen.line([at(x, y) for x, y in points], _COLOURS[place], 2, joint="curve")
