"""A data set as an evaluation sees it: categories, images to learn from, images to test on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rar_agent.detection import Box
from rar_agent.types import Category

NOTHING = -1
"""In place of a category."""


@dataclass(frozen=True)
class LabelledImage:
    """An image and what it shows.

    Attributes:
        key: Its name in the data set, the same on every machine: `train/Wren/1.jpg`.
        file: Where its bytes are.
        category: Position of its category; `NOTHING` of a proposed box around nothing that has one.
        box: In the image, left, top, width and height in pixels; None: it is the whole.
        area: Of the object in the box, in pixels.
        score: How sure the detector that proposed the box is of it, 0 to 1; None: nobody said.
    """

    key: str
    file: Path
    category: int
    box: Box | None = None
    area: float = 0.0
    score: float | None = None


@dataclass(frozen=True)
class DataSet:
    """Images of named categories.

    Attributes:
        name: Such as `cub200`.
        title: For people.
        domain: What kind of categories these are, for prompts: `bird species`.
        categories: With their names as published; see `renamed`.
        train: To learn from.
        test: To test on; disjoint from train.
        templates: What names are put into for a text encoder, with `{}`.
        checksum: Of names, of the keys of train and test, and of what else decides average
            precision: results belong to it.
        renamed: Names that were changed, from the published ones.
        caution: What has to be said beside every figure; empty where nothing.
        rare: Positions of categories that count as rare; empty where that means nothing.
        annotations: All that is around in the images to test on, in COCO's format, by these names;
            see `evaluation.annotations`. Empty where images are recognised as wholes.
    """

    name: str
    title: str
    domain: str
    categories: Sequence[Category]
    train: Sequence[LabelledImage]
    test: Sequence[LabelledImage]
    templates: Sequence[str] = ("a photo of a {}.",)
    checksum: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    caution: str = ""
    rare: frozenset[int] = frozenset()
    annotations: Mapping[str, Any] = field(default_factory=dict)

    def truth(self, one: LabelledImage) -> str:
        """Name of an image's category; empty: it has none."""
        return "" if one.category == NOTHING else self.categories[one.category].name
