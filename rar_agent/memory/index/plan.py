"""Which index a file of vectors gets: a pure function of its size, the memory and the recall.

The kinds are tried from the best to the leanest: exact up to 100,000 rows, then HNSW, IVF and
IVF-PQ; the first whose memory fits is taken, or else the leanest.
"""

from __future__ import annotations

from dataclasses import dataclass

from rar_agent.errors import InputError
from rar_agent.memory.index.costs import build_seconds, bytes_held, disk_bytes, query_ms
from rar_agent.memory.index.parameters import spec_for
from rar_agent.memory.index.spec import KINDS, IndexSpec
from rar_agent.types import Modality

EXACT_UP_TO = 100_000
"""Rows: 5 ms a query at 512 dimensions, with nothing to build or to lose."""

CODES_FROM = 10_000
"""Rows; fewer do not train 256 centroids for each code."""


@dataclass(frozen=True)
class Alternative:
    """An index that could have been, with what it costs.

    Attributes:
        spec: What would be built.
        ram_bytes: Memory, page cache included, for searches as fast as `query_ms`.
        disk_bytes: Size of its file, beside the vectors' own.
        build_seconds: On 2 cores.
        query_ms: One query on one thread.
        verdict: Why it was taken or not: a few words.
    """

    spec: IndexSpec
    ram_bytes: int
    disk_bytes: int
    build_seconds: float
    query_ms: float
    verdict: str


@dataclass(frozen=True)
class IndexPlan:
    """The index to build, why, and what else there was.

    Attributes:
        spec: What to build; `spec.effort` is where `recall.tune` begins.
        ram_bytes: Memory, page cache included, for searches as fast as `query_ms`.
        disk_bytes: Size of its file, beside the vectors' own.
        build_seconds: On 2 cores.
        query_ms: One query on one thread.
        recall: Recall@10 that it is planned for, not promised: measure it.
        reason: Why this one, in one or two sentences.
        considered: Every kind with its figures, this one too, best first.
    """

    spec: IndexSpec
    ram_bytes: int
    disk_bytes: int
    build_seconds: float
    query_ms: float
    recall: float
    reason: str
    considered: tuple[Alternative, ...]


def plan_index(
    count: int,
    dimension: int,
    ram_bytes: int,
    recall: float = 0.95,
    modality: Modality = "image",
) -> IndexPlan:
    """Choose the index for a file of vectors.

    More memory or fewer rows never give a worse kind, and no plan exceeds the memory where one
    fits. `costs` has the formulas.

    Args:
        count: Rows; 1 or more.
        dimension: Length of a row; 1 or more.
        ram_bytes: Memory that searches of this file may hold, page cache included; 0 or more.
        recall: Share of the 10 nearest rows that has to be found, over 0 and at most 1; only an
            exact search has 1.
        modality: Of the entries. Queries are images, and entries of another modality take more
            effort to find.

    Raises:
        InputError: An argument is out of its range.
    """
    if count < 1 or dimension < 1 or ram_bytes < 0 or not 0 < recall <= 1:
        raise InputError(
            f"An index of ({count}, {dimension}) vectors in {ram_bytes} bytes at recall {recall} "
            "cannot be planned.",
            "Give at least 1 row and 1 dimension, no negative memory and a recall over 0 to 1.",
        )
    specs = [spec_for(kind, count, dimension, recall, modality) for kind in KINDS]
    able = [spec for spec in specs if not _unfit(spec, recall)]
    fitting = [spec for spec in able if bytes_held(spec) <= ram_bytes]
    chosen = fitting[0] if fitting else min(able, key=bytes_held)
    return IndexPlan(
        spec=chosen,
        ram_bytes=bytes_held(chosen),
        disk_bytes=disk_bytes(chosen),
        build_seconds=build_seconds(chosen),
        query_ms=query_ms(chosen),
        recall=1.0 if chosen.kind == "exact" else recall,
        reason=_reason(chosen, ram_bytes, recall, fits=bool(fitting)),
        considered=tuple(
            Alternative(
                spec=spec,
                ram_bytes=bytes_held(spec),
                disk_bytes=disk_bytes(spec),
                build_seconds=build_seconds(spec),
                query_ms=query_ms(spec),
                verdict=_verdict(spec, chosen, ram_bytes, recall),
            )
            for spec in specs
        ),
    )


def _unfit(spec: IndexSpec, recall: float) -> str:
    """Why a kind is not for this size or recall, whatever the memory; empty if it is."""
    if recall == 1:
        return "" if spec.kind == "exact" else "it may miss rows, and none may be missed"
    if spec.kind == "exact":
        return "" if spec.count <= EXACT_UP_TO else f"a query takes {query_ms(spec):,.0f} ms"
    if spec.kind == "ivf-pq":
        return "" if spec.count > CODES_FROM else "too few rows to train codes on"
    return "" if spec.count > EXACT_UP_TO else "an exact search is fast and needs less memory"


def _verdict(spec: IndexSpec, chosen: IndexSpec, ram: int, recall: float) -> str:
    if spec == chosen:
        return "taken"
    if why := _unfit(spec, recall):
        return why
    if bytes_held(spec) > ram:
        return f"needs {_size(bytes_held(spec))} of memory"
    return f"{chosen.kind} fits too and is better"


def _reason(spec: IndexSpec, ram: int, recall: float, *, fits: bool) -> str:
    what = {
        "exact": f"Exact search: {spec.count:,} rows are compared in {query_ms(spec):.1f} ms",
        "hnsw": f"HNSW: {spec.count:,} rows are too many to compare each",
        "ivf": "IVF: the rows fit in memory, but not HNSW's links too",
        "ivf-pq": "IVF-PQ: the rows do not fit in memory, so short codes find a shortlist that "
        "is compared exactly",
    }[spec.kind]
    if recall == 1:
        what += ", and nothing else finds all"
    if not fits:
        return (
            f"{what}. Even this needs {_size(bytes_held(spec))} where {_size(ram)} are given: "
            "searches will wait for the disk."
        )
    return f"{what}; it needs {_size(bytes_held(spec))} of the {_size(ram)} given."


def _size(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e8 else f"{number / 1e6:,.1f} MB"
