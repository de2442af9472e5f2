"""Average precision of boxes that were given, by COCO's own code."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rar_agent.evaluation.metrics.columns import WAYS
from rar_agent.evaluation.metrics.metric import Facts, Figure, Kind
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.suite import Way

_OF = "COCO's average precision (pycocotools) of the names of given boxes, by their probabilities"
_NONE = "none: it is no mean over images or boxes"
AP = Kind("AP", f"{_OF}, at overlaps from 0.5 to 0.95", _NONE)
AP_50 = Kind("AP50", f"{_OF}, at an overlap of 0.5", _NONE)
AP_SMALL = Kind("AP small", f"{_OF}: objects under 32 x 32 pixels", _NONE)
AP_MEDIUM = Kind("AP medium", f"{_OF}: objects from 32 x 32 to 96 x 96 pixels", _NONE)
AP_LARGE = Kind("AP large", f"{_OF}: objects over 96 x 96 pixels", _NONE)
AP_RARE = Kind("AP rare", f"{_OF}: of the categories that count as rare", _NONE)


def boxes(records: Sequence[Record], facts: Facts) -> Iterator[tuple[Way, Figure]]:
    """Average precisions of every way that answered; over several cells, their mean.

    Args:
        records: Of a cell, or of cells that differ by their seed alone.
        facts: Which categories are rare.
    """
    if not any(record.box for record in records):
        return
    cells = dict.fromkeys(record.cell for record in records)
    kinds = (AP, AP_50, AP_SMALL, AP_MEDIUM, AP_LARGE, AP_RARE)
    for way in WAYS:
        if not any(getattr(record, way) for record in records):
            continue
        if not any(answer.probabilities for r in records if (answer := getattr(r, way))):
            for kind in kinds:
                yield way, kind.missing("the way gives no probabilities", len(records))
            continue
        try:
            found = np.array(
                [_precisions([r for r in records if r.cell == cell], way, facts) for cell in cells]
            )
        except ImportError:
            for kind in kinds:
                why = "pycocotools is not installed: pip install 'rar-agent[eval]'"
                yield way, kind.missing(why, len(records))
            continue
        for kind, values in zip(kinds, found.T, strict=True):
            if np.isnan(values).any():
                yield way, kind.missing("there is no such object", len(records))
            else:
                yield way, kind.found(float(values.mean()), n=len(records))


def _precisions(records: Sequence[Record], way: Way, facts: Facts) -> NDArray[np.float64]:
    """(6,) AP, AP50, AP of small, medium, large objects, of rare categories; nan: there are none.

    Raises:
        ImportError: pycocotools is not installed.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truths, said, names = to_coco(records, way)
    with redirect_stdout(io.StringIO()):
        gold = COCO()
        gold.dataset = truths
        gold.createIndex()
        if not said:
            return np.full(6, np.nan)
        evaluation = COCOeval(gold, gold.loadRes(said), "bbox")
        evaluation.params.maxDets = [max(100, len(said))]  # boxes are given: each has its names
        evaluation.evaluate()
        evaluation.accumulate()
    # By overlap, recall, category, size, number of results; -1: there is no such object.
    precision = evaluation.eval["precision"][..., -1]
    rare = [at for at, name in enumerate(names) if name in facts.rare]
    some = [precision[..., 0], precision[0, ..., 0], *np.moveaxis(precision, -1, 0)[1:]]
    return np.array([_mean(one) for one in (*some, precision[..., rare, 0])])


def _mean(precision: NDArray[np.float64]) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else float("nan")


def to_coco(
    records: Sequence[Record], way: Way
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """Boxes and what a way calls them, in COCO's formats of annotations and results.

    Args:
        records: Of one cell.
        way: Whose names are the results, each of a box with its probability as the score.

    Returns:
        Annotations; results; names of the categories, whose ids are their places, from 1.
    """
    answers = [getattr(record, way) for record in records]
    told = (name for answer in answers if answer for name in answer.names)
    names = sorted({record.truth for record in records}.union(told))
    category = {name: at for at, name in enumerate(names, 1)}
    files = [record.sample.rpartition("#")[0] for record in records]
    image = {file: at for at, file in enumerate(dict.fromkeys(files), 1)}
    truths = {
        "info": {},
        "images": [{"id": number, "file_name": file} for file, number in image.items()],
        "categories": [{"id": number, "name": name} for name, number in category.items()],
        "annotations": [
            {
                "id": at,
                "image_id": image[file],
                "category_id": category[record.truth],
                "bbox": list(record.box or ()),
                "area": record.area,
                "iscrowd": 0,
            }
            for at, (record, file) in enumerate(zip(records, files, strict=True), 1)
        ],
    }
    said = [
        {
            "image_id": image[file],
            "category_id": category[name],
            "bbox": list(record.box or ()),
            "score": probability,
        }
        for record, answer, file in zip(records, answers, files, strict=True)
        if answer
        for name, probability in zip(answer.names, answer.probabilities, strict=True)
    ]
    return truths, said, names
