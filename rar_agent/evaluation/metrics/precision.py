"""Average precision by COCO's own code, with LVIS's rules where a data set has its lists."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rar_agent.evaluation.annotations import federated

_MOST = 100
"""Results of a category in an image that COCO's tool counts; `results_of` keeps no more, but of
given boxes, each of which has its names."""


@dataclass(frozen=True)
class Precision:
    """Precision by recall.

    Attributes:
        values: (10 overlaps from 0.5 to 0.95, 101 recalls, categories, 4 sizes: all, small, medium,
            large); -1 where there is no such object.
        categories: As annotations have them, those with an object, by id.
    """

    values: NDArray[np.float64]
    categories: Sequence[Mapping[str, Any]]


def precision_of(truths: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> Precision:
    """Precision by recall of results, as pycocotools' `COCOeval` has it; or lvis' `LVISEval`.

    Categories are counted one by one, each in the images where it is or is named: that is what the
    tools' figures are made of, and it takes the time and memory of what there is, where they take
    those of all images times all categories.

    LVIS's rules (Gupta, Dollár & Girshick 2019) are two more: a name counts in an image only where
    it is there or was looked for; and a name that finds no object is not wrong where objects of it
    were not all marked.

    Args:
        truths: See `annotations.against`.
        results: In COCO's format, no more of an image than count.

    Raises:
        ImportError: pycocotools is not installed.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    gold, said = _by_category(truths["annotations"]), _by_category(_counted(truths, results))
    partly = {
        image["id"]: frozenset(image.get("not_exhaustive_category_ids", ()))
        for image in truths["images"]
    }
    listed = sorted(truths["categories"], key=lambda one: one["id"])
    categories = [one for one in listed if one["id"] in gold]
    values = np.empty((10, 101, len(categories), 4))
    for at, category in enumerate(categories):
        there, found = gold[category["id"]], said.get(category["id"], [])
        images = [{"id": one} for one in {box["image_id"] for box in (*there, *found)}]
        with redirect_stdout(io.StringIO()):
            sides = []
            for boxes in (there, found):
                sides.append(COCO())
                sides[-1].dataset = {
                    "images": images,
                    "categories": [category],
                    "annotations": boxes,
                }
                sides[-1].createIndex()
            evaluation = COCOeval(*sides, "bbox")
            evaluation.params.maxDets = [max(_MOST, len(found))]
            evaluation.evaluate()
            for one in filter(None, evaluation.evalImgs):
                if category["id"] in partly[one["image_id"]]:
                    one["dtIgnore"] |= one["dtMatches"] == 0
            evaluation.accumulate()
        values[:, :, at] = evaluation.eval["precision"][:, :, 0, :, 0]
    return Precision(values, categories)


def _counted(
    truths: Mapping[str, Any], results: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Results with what COCO's tool adds when it loads them; by LVIS's rules, those that count."""
    there = {(one["image_id"], one["category_id"]) for one in truths["annotations"]}
    for image in truths["images"]:
        there.update((image["id"], number) for number in image.get("neg_category_ids", ()))
    every = not federated(truths)
    for at, one in enumerate(results, 1):
        if every or (one["image_id"], one["category_id"]) in there:
            area = one["bbox"][2] * one["bbox"][3]
            yield {**one, "id": at, "area": area, "iscrowd": 0}


def _by_category(boxes: Iterable[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    found: dict[int, list[Mapping[str, Any]]] = {}
    for one in boxes:
        found.setdefault(one["category_id"], []).append(one)
    return found
