"""Which images are learnt and which are asked, drawn by a seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from rar_agent.evaluation.dataset import LabelledImage


def few_shot(train: Sequence[LabelledImage], shots: int, seed: int) -> list[LabelledImage]:
    """Some images of each category, drawn as CoOp draws them.

    One generator is seeded, and of each category, in the order in which categories first appear,
    `shots` images are drawn without replacement from those it has, in their order: what
    `generate_fewshot_dataset` of Dassl does, so that CoOp's split files and seeds 1 to 3 give
    CoOp's images. Draws of different sizes are independent, not nested, as CoOp's are.

    A category that has fewer images gives each of them once; CoOp repeats some, which would teach
    a memory nothing.

    Args:
        train: To draw from; its order counts.
        shots: Images a category, at least 1.
        seed: Of the draw.
    """
    drawn: list[LabelledImage] = []
    generator = random.Random(seed)
    for images in _by_category(train).values():
        if len(images) >= shots:
            drawn += generator.sample(images, shots)
        else:
            generator.choices(images, k=shots)  # CoOp's draw: the categories after it stay CoOp's
            drawn += images
    return drawn


def evenly(
    test: Sequence[LabelledImage], limit: int, seed: int, by_image: bool = False
) -> list[LabelledImage]:
    """At most `limit` images, as evenly over categories as they allow.

    A larger limit with the same seed draws the same images and more.

    Args:
        test: To draw from.
        limit: At least 1.
        seed: Of the draw.
        by_image: Whether all boxes of a drawn image come, whatever their categories, as those that
            a detector proposed do, which are measured by image: images are drawn until the next
            would exceed the limit, but one at least.

    Returns:
        What was drawn, in the order of `test`.
    """
    generator = random.Random(seed)
    if by_image:
        count = Counter(one.file for one in test)
        files = list(count)
        generator.shuffle(files)
        sums = accumulate(count[file] for file in files)
        drawn = set(files[:1]) | {
            file for file, boxes in zip(files, sums, strict=True) if boxes <= limit
        }
        return [one for one in test if one.file in drawn]
    groups = list(_by_category(test).values())
    for images in groups:
        generator.shuffle(images)
    generator.shuffle(groups)
    most = max(map(len, groups), default=0)
    turns = (images[turn] for turn in range(most) for images in groups if turn < len(images))
    kept = {image.key for image, _ in zip(turns, range(limit), strict=False)}
    return [image for image in test if image.key in kept]


def apart(
    boxes: Sequence[LabelledImage], shots: int, seed: int
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Boxes to learn from and boxes to be asked about, of different images.

    Images come in an order that the seed draws. The boxes of one are to learn from where it has a
    category that has fewer than `shots` boxes there so far; else they are asked about.

    Args:
        boxes: Of all images; their order counts.
        shots: Boxes of each category to learn from, where there are as many; at least 1.
        seed: Of the draw.

    Returns:
        Those to learn from, and those to be asked about, in the order of `boxes`.
    """
    images: dict[Path, list[LabelledImage]] = {}
    for one in boxes:
        images.setdefault(one.file, []).append(one)
    files = list(images)
    random.Random(seed).shuffle(files)
    given: Counter[int] = Counter()
    for file in files:
        if any(given[one.category] < shots for one in images[file]):
            given.update(one.category for one in images.pop(file))
    return [one for one in boxes if one.file not in images], [
        one for one in boxes if one.file in images
    ]


def spread(boxes: Iterable[LabelledImage]) -> Counter[int]:
    """In how many images each category has boxes."""
    return Counter(category for category, _ in {(one.category, one.file) for one in boxes})


def _by_category(images: Iterable[LabelledImage]) -> dict[int, list[LabelledImage]]:
    """In the order in which categories first appear."""
    groups: dict[int, list[LabelledImage]] = {}
    for image in images:
        groups.setdefault(image.category, []).append(image)
    return groups
