"""Average precision of boxes that were given or proposed, as the official tools have it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rar_agent.evaluation.annotations import LOST, against, federated, proposed
from rar_agent.evaluation.metrics.columns import WAYS
from rar_agent.evaluation.metrics.metric import Facts, Figure, Kind
from rar_agent.evaluation.metrics.precision import Precision, precision_of
from rar_agent.evaluation.metrics.results import results_of
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.suite import Way

_OF = (
    "COCO's average precision (pycocotools) of the names of boxes, by their probabilities, times "
    "the score of a box that was proposed; LVIS's (lvis) where images say what was looked for"
)
_NONE = "none: it is no mean over images or boxes"
AP = Kind("AP", f"{_OF}, at overlaps from 0.5 to 0.95", _NONE)
AP_50 = Kind("AP50", f"{_OF}, at an overlap of 0.5", _NONE)
AP_SMALL = Kind("AP small", f"{_OF}: objects under 32 x 32 pixels", _NONE)
AP_MEDIUM = Kind("AP medium", f"{_OF}: objects from 32 x 32 to 96 x 96 pixels", _NONE)
AP_LARGE = Kind("AP large", f"{_OF}: objects over 96 x 96 pixels", _NONE)
AP_RARE = Kind("AP rare", f"{_OF}: of the categories that count as rare", _NONE)
AP_COMMON = Kind("AP common", f"{_OF}: of the categories that the data set calls common", _NONE)
AP_FREQUENT = Kind(
    "AP frequent", f"{_OF}: of the categories that the data set calls frequent", _NONE
)
_KINDS = (AP, AP_50, AP_SMALL, AP_MEDIUM, AP_LARGE, AP_RARE, AP_COMMON, AP_FREQUENT)
_NO_PACKAGE = "pycocotools is not installed: pip install 'rar-agent[eval]'"


def boxes(records: Sequence[Record], facts: Facts) -> Iterator[tuple[Way, Figure]]:
    """Average precisions of every way that answered; over several cells, their mean.

    Args:
        records: Of a cell, or of cells that differ by their seed alone.
        facts: What is around in the images, and which categories are rare.
    """
    n = len(records)
    for way in WAYS:
        if not any(getattr(record, way) for record in records):
            continue
        if why := _why_not(records, way, facts):
            yield from ((way, kind.missing(why, n)) for kind in _KINDS)
            continue
        cells = dict.fromkeys(record.cell for record in records)
        try:
            found = np.array(
                [_averages([r for r in records if r.cell == cell], way, facts) for cell in cells]
            )
        except ImportError:
            yield from ((way, kind.missing(_NO_PACKAGE, n)) for kind in _KINDS)
            continue
        for kind, values in zip(_KINDS, found.T, strict=True):
            if np.isnan(values).any():
                yield way, kind.missing(_why_none(kind, facts), n)
            else:
                yield way, kind.found(float(values.mean()), n=n, note=_note(facts))


def _why_not(records: Sequence[Record], way: Way, facts: Facts) -> str:
    if not any(record.box for record in records):
        return "the images are no boxes"
    if not any(answer.probabilities for r in records if (answer := getattr(r, way))):
        return "the way gives no probabilities"
    proposals = any(not r.truth or r.score is not None for r in records)
    if facts.lost or (proposals and not facts.annotations):
        return LOST
    return ""


def _why_none(kind: Kind, facts: Facts) -> str:
    if kind is AP_RARE and not facts.rare:
        return "the data set says of no category that it is rare"
    listed = facts.annotations.get("categories", ())
    if kind in (AP_COMMON, AP_FREQUENT) and not any("frequency" in one for one in listed):
        return "the data set says of no category how frequent it is"
    return "there is no such object"


def _note(facts: Facts) -> str:
    if not facts.annotations:
        return ""
    said = [
        "by LVIS's rules" if federated(facts.annotations) else "",
        "of proposed boxes" if proposed(facts.annotations) else "",
    ]
    return ", ".join(filter(None, said))


def _averages(records: Sequence[Record], way: Way, facts: Facts) -> NDArray[np.float64]:
    """(8,) one of each kind; nan: there is no such object.

    Raises:
        ImportError: pycocotools is not installed.
    """
    truths = against(records, facts.annotations)
    found = precision_of(truths, results_of(records, way, truths))
    every = found.values[..., 0]
    some = [every, every[:1], *np.moveaxis(found.values, -1, 0)[1:]]
    groups = [_rare(found, facts), *(_frequency(found, letter) for letter in "cf")]
    return np.array([_mean(one) for one in (*some, *(every[..., group] for group in groups))])


def _rare(found: Precision, facts: Facts) -> list[int]:
    return [at for at, one in enumerate(found.categories) if one["name"] in facts.rare]


def _frequency(found: Precision, letter: str) -> list[int]:
    return [at for at, one in enumerate(found.categories) if one.get("frequency") == letter]


def _mean(precision: NDArray[np.float64]) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else float("nan")
