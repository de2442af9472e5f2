"""The sample browser's data: every record, packed so that 50,000 of them open in a browser.

The page gets one index, columns of small numbers that filters run over, and the records themselves
in blocks that are unpacked when one of theirs is looked at. All of it is gzip, base64 in the page.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rar_agent.evaluation.record import Answer, Record
from rar_agent.evaluation.suite import Way

WAYS: tuple[Way, ...] = ("knn", "retrieval", "ranked", "alone")
BLOCK = 250
"""Records that are unpacked together."""
CORRECTION, REGRESSION, DEGRADED, REPAIRED, MISSED = (1 << bit for bit in range(5))
_RIGHT, _WRONG, _ABSTAINED = 1, 2, 4
_RAW = 1_000


@dataclass(frozen=True)
class Packed:
    """Records as the page holds them.

    Attributes:
        index: Columns, packed.
        blocks: Records in the index's order, `BLOCK` in each but the last, packed.
    """

    index: str
    blocks: Sequence[str]


def style_of(way: Way | None) -> int:
    """How a way is drawn, the same wherever it is; as retrieval what is of all of them."""
    return WAYS.index(way or "retrieval")


def answer_of(record: Record, way: Way) -> Answer | None:
    """How a way answered; None: it was not asked for, or has no names."""
    answer: Answer | None = getattr(record, way)
    return answer if answer is not None and answer.names else None


def ways_of(records: Sequence[Record]) -> list[Way]:
    """Ways that answered anything, in the order in which they are told."""
    return [way for way in WAYS if any(getattr(record, way) for record in records)]


def main_way(ways: Sequence[Way]) -> Way:
    """The way that a user would get: ranked, else retrieval, else what there is."""
    return next((way for way in ("ranked", "retrieval", "knn", "alone") if way in ways), "ranked")


def is_right(record: Record, way: Way) -> bool | None:
    """Whether a way's first name is the true one; None: it was not asked for, or none is true."""
    answer: Answer | None = getattr(record, way)
    return None if answer is None or not record.truth else answer.names[:1] == (record.truth,)


def errors_first(records: Sequence[Record], way: Way) -> list[Record]:
    """Records in the order of interest: errors, the surest first; then the rest, the least sure."""

    def interest(record: Record) -> tuple[int, float, str, str]:
        answer, right = getattr(record, way), is_right(record, way)
        if answer is None or right is None:
            return 2, 0.0, record.cell, record.sample
        sure = answer.probabilities[0] if answer.probabilities else 0.0
        return int(bool(right)), sure if right else -sure, record.cell, record.sample

    return sorted(records, key=interest)


def flags(record: Record) -> int:
    """What a record can be filtered by, beside cell, way and answer; a sum of bits."""
    before, after = is_right(record, "retrieval"), is_right(record, "ranked")
    found = CORRECTION if before is False and after else 0
    found |= REGRESSION if before and after is False else 0
    asked = [ranked for ranked in (record.ranking, record.asked_alone) if ranked]
    found |= DEGRADED if any(ranked.degraded for ranked in asked) else 0
    found |= REPAIRED if any(r.parse_status == "repaired" or r.repairs for r in asked) else 0
    retrieved = answer_of(record, "retrieval")
    missed = retrieved and record.truth and record.truth not in retrieved.names
    return found | (MISSED if missed else 0)


def pack_records(
    records: Sequence[Record], pictures: Mapping[str, int], titles: Mapping[Way, str]
) -> Packed:
    """Pack records for the page.

    Args:
        records: In the order in which the page lists them.
        pictures: Positions of the thumbnails there are, by sample or source.
        titles: How ways are called.
    """
    ways = ways_of(records)
    cells, names = _Table(), _Table()
    index: dict[str, Any] = {
        "ways": ways,
        "titles": titles,
        "main": main_way(ways),
        "block": BLOCK,
        "sample": [record.sample for record in records],
        "cell": [cells.at(record.cell) for record in records],
        "truth": [names.at(record.truth) for record in records],
        "flags": [flags(record) for record in records],
        "first": {way: [_first(record, way, names) for record in records] for way in ways},
        "sure": {way: [_sure(record, way) for record in records] for way in ways},
        "state": {way: [_state(record, way) for record in records] for way in ways},
        "pictures": pictures,
    }
    index |= {"cells": cells.values, "names": names.values}
    blocks = [
        pack([_told(record) for record in records[start : start + BLOCK]])
        for start in range(0, len(records), BLOCK)
    ]
    return Packed(pack(index), blocks)


def pack(data: Any) -> str:  # noqa: ANN401 - plain data
    """Plain data as base64 of gzip of JSON: letters that no HTML parser stumbles over."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


class _Table:
    """Strings that are repeated, and their positions."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}

    def at(self, value: str) -> int:
        return self._positions.setdefault(value, len(self._positions))

    @property
    def values(self) -> list[str]:
        return list(self._positions)


def _first(record: Record, way: Way, names: _Table) -> int:
    answer = answer_of(record, way)
    return -1 if answer is None else names.at(answer.names[0])


def _sure(record: Record, way: Way) -> int:
    """Probability of the first name in thousandths; -1: the way gives none."""
    answer = answer_of(record, way)
    return round(1_000 * answer.probabilities[0]) if answer and answer.probabilities else -1


def _state(record: Record, way: Way) -> int:
    answer, right = getattr(record, way), is_right(record, way)
    if answer is None:
        return 0
    state = _RIGHT if right else 0 if right is None else _WRONG
    return state if answer.accepted else state | _ABSTAINED


def _told(record: Record) -> dict[str, Any]:
    """A record as the page shows it: figures rounded, digests cut to what tells them apart."""
    told = record.model_dump(mode="json", exclude_defaults=True, exclude={"cell", "truth"})
    told["sha256"] = record.sha256[:12]
    for way in WAYS:
        if answer := told.get(way):
            answer["probabilities"] = [round(p, 4) for p in answer.get("probabilities", ())]
    for seen in told.get("seen", ()):
        seen["similarity"] = round(seen["similarity"], 3)
    for ranked in (told.get("ranking"), told.get("asked_alone")):
        if ranked and "raw" in ranked:
            ranked["raw"] = ranked["raw"][:_RAW]
    if timings := told.get("timings_ms"):
        told["timings_ms"] = {part: round(ms, 1) for part, ms in timings.items()}
    if record.familiarity is not None:
        told["familiarity"] = round(record.familiarity, 3)
    return told
