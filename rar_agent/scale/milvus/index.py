"""Which index Milvus gets, by the number of vectors; and what it is asked with.

By Milvus's own advice (milvus.io/docs/index-explained.md): FLAT is exact and for small collections,
HNSW is fast and holds all in memory, DISKANN is for what memory does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rar_agent.errors import InputError
from rar_agent.scale.milvus.server import Server

MOST_FLAT = 100_000
"""Vectors that are compared one by one, as on this machine; nothing is missed."""
MOST_HNSW = 10_000_000
"""Vectors whose graph is held in memory."""
KINDS = ("FLAT", "IVF_FLAT", "HNSW", "IVF_PQ", "DISKANN")
"""That may be asked for."""
_CODES = 8  # bits of an IVF_PQ code


@dataclass(frozen=True)
class Index:
    """An index of Milvus.

    Attributes:
        kind: Its type there.
        parameters: Of its building.
    """

    kind: str
    parameters: Mapping[str, int] = field(default_factory=dict)


def plan_index(count: int, dimension: int = 1, kind: str = "") -> Index:
    """The index for so many vectors.

    Args:
        count: Vectors.
        dimension: Of a vector; matters to IVF_PQ alone.
        kind: One of `KINDS` to have it so; empty: chosen by `count`.

    Raises:
        InputError: There is no such kind.
    """
    if not kind:
        kind = "FLAT" if count <= MOST_FLAT else "HNSW" if count <= MOST_HNSW else "DISKANN"
    if kind not in KINDS:
        raise InputError(f"There is no index '{kind}'.", f"Choose {', '.join(KINDS)}.")
    lists = max(1, min(65_536, round(4 * count**0.5)))
    if kind == "HNSW":
        return Index(kind, {"M": 32, "efConstruction": 200})
    if kind == "IVF_FLAT":
        return Index(kind, {"nlist": lists})
    if kind == "IVF_PQ":  # codes of 4 dimensions, or as nearly as divides the vector
        parts = next(m for m in range(max(1, dimension // 4), 0, -1) if dimension % m == 0)
        return Index(kind, {"nlist": lists, "m": parts, "nbits": _CODES})
    return Index(kind)


def describe(server: Server, collection: str) -> Index:
    """The index that the vectors of a collection have; of no kind where they have none."""
    found: dict[str, Any] = (
        server.ask("describe_index", collection_name=collection, index_name="vector") or {}
    )
    names = ("M", "efConstruction", "nlist", "m", "nbits")
    return Index(
        str(found.get("index_type", "")),
        {name: int(found[name]) for name in names if str(found.get(name, "")).isdecimal()},
    )


def search_parameters(index: Index, count: int) -> dict[str, int]:
    """What a search for so many is told: how far it may look."""
    if index.kind == "HNSW":
        return {"ef": max(128, 2 * count)}
    if index.kind == "DISKANN":
        return {"search_list": max(100, count)}
    if index.kind.startswith("IVF"):
        return {"nprobe": max(16, index.parameters.get("nlist", 1_024) // 16)}
    return {}
