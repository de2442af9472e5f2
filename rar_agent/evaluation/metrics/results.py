"""What a way calls boxes, as results in COCO's format, no more than the official tools count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rar_agent.detection.scores import fused, suppress
from rar_agent.evaluation.annotations import federated, proposed
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.suite import Way

_COCO, _LVIS = 100, 300
"""Results of an image that count: the official tools' numbers."""


def results_of(
    records: Sequence[Record], way: Way, truths: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What a way calls boxes, as results in COCO's format: one for each name of each box.

    The score is the name's probability times the box's score, where it has one. Names that are none
    of the categories are left out. Of proposals, equal names may suppress each other first, and the
    surest 100 results of an image are kept, as detectors do; by LVIS's rules 300, of given boxes
    too.

    Args:
        records: Of one cell.
        way: Whose names these are.
        truths: What they are measured against, see `annotations.against`.
    """
    numbers = {one["name"]: one["id"] for one in truths["categories"]}
    images = {one["file_name"]: one["id"] for one in truths["images"]}
    by_image: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        answer, file = getattr(record, way), record.sample.rpartition("#")[0]
        if answer is None or record.box is None or file not in images:
            continue
        by_image[file] += [
            {
                "image_id": images[file],
                "category_id": numbers[name],
                "bbox": list(record.box),
                "score": fused(probability, record.score),
            }
            for name, probability in zip(answer.names, answer.probabilities, strict=True)
            if name in numbers
        ]
    nms, most = truths["info"].get("nms"), _limit(truths)
    return [one for some in by_image.values() for one in _kept(some, nms, most)]


def _limit(truths: Mapping[str, Any]) -> int | None:
    """Results of an image that count; None: all, because COCO's tool counts by category."""
    if federated(truths):
        return _LVIS
    return _COCO if proposed(truths) else None


def _kept(
    results: list[dict[str, Any]], nms: float | None, most: int | None
) -> list[dict[str, Any]]:
    if nms is not None:
        boxes, scores, names = (
            [one[key] for one in results] for key in ("bbox", "score", "category_id")
        )
        results = [results[at] for at in sorted(suppress(boxes, scores, names, nms))]
    if most is None or len(results) <= most:
        return results
    return sorted(results, key=lambda one: one["score"], reverse=True)[:most]
