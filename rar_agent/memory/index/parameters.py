"""The parameters that an index of a kind gets, from the size, the recall wanted and the modality.

Measured as in `costs`. What a search misses falls about as one over what it looks at.
"""

from __future__ import annotations

import math

from rar_agent.memory.index.build import SAMPLED_PER_LIST
from rar_agent.memory.index.spec import IndexSpec, Kind
from rar_agent.types import Modality

LINKS = 24
"""HNSW's M: of rows near a text 16 links missed 6 in 1,000, 24 and 32 missed 2 (efSearch 128)."""

CONSTRUCTION = 80
"""HNSW's efConstruction: 40 missed 41 in 1,000 where 80 missed 7, for four fifths of the build."""

MOST_LISTS = 65_536
"""Training grows with the square of the lists: on 2 cores these take hours."""

NUMBERS_PER_CODE = 8
"""At most: 64 codes for 512 dimensions, a 32nd of the bytes."""

RERANK = {"image": 10, "text": 20, "head": 20}
"""Rows that IVF-PQ compares exactly for each row wanted: beyond these the lists decide."""

_MISSED_HNSW = {"image": 1.4, "text": 6.0, "head": 6.0}  # times efSearch, at 1,000,000 rows
# Share missed, times nprobe, at 1,024 lists, and the exponent of the lists it grows with.
_MISSED_IVF = {"image": (0.55, 1.25), "text": (1.6, 1.7), "head": (1.6, 1.7)}
_LEAST_HNSW = 16
_MOST = 4_096


def spec_for(
    kind: Kind, count: int, dimension: int, recall: float, modality: Modality
) -> IndexSpec:
    """The index of one kind.

    Args:
        kind: Which.
        count: Rows, 1 or more.
        dimension: Length of a row, 1 or more.
        recall: Share of the 10 nearest rows to find, over 0 and at most 1.
        modality: Of the entries; queries are images.
    """
    missed = max(1 - recall, 1e-4)
    if kind == "hnsw":
        effort = _MISSED_HNSW[modality] * math.sqrt(count / 1e6) / missed
        effort = min(_MOST, max(_LEAST_HNSW, _power_of_two(effort)))
        return IndexSpec(
            kind, count, dimension, links=LINKS, construction=CONSTRUCTION, effort=effort
        )
    if kind == "exact":
        return IndexSpec(kind, count, dimension)
    lists = _lists(count)
    share, growth = _MISSED_IVF[modality]
    effort = _power_of_two(share * math.pow(lists / 1024, growth) / missed)
    effort = min(_MOST, lists, effort)
    if kind == "ivf":
        return IndexSpec(kind, count, dimension, lists=lists, effort=effort)
    return IndexSpec(
        kind,
        count,
        dimension,
        lists=lists,
        effort=effort,
        codes=_codes(dimension),
        rerank=RERANK[modality],
    )


def _lists(count: int) -> int:
    """About 4 sqrt(n) lists (FAISS wiki, "Guidelines to choose an index"), with rows to train."""
    lists = _power_of_two(4 * math.sqrt(count))
    while lists > max(1, count // SAMPLED_PER_LIST) or lists > MOST_LISTS:
        lists //= 2
    return lists


def _power_of_two(number: float) -> int:
    """The nearest on a logarithmic scale; at least 1."""
    return int(2 ** max(0, round(math.log2(max(number, 1.0)))))


def _codes(dimension: int) -> int:
    """The smallest divisor of the dimension with at most `NUMBERS_PER_CODE` numbers a code."""
    return next(
        codes
        for codes in range(math.ceil(dimension / NUMBERS_PER_CODE), dimension + 1)
        if dimension % codes == 0
    )
