"""What an index file is: its kind and the numbers that fix its structure and its search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rar_agent.errors import InputError

Kind = Literal["exact", "hnsw", "ivf", "ivf-pq"]

KINDS: tuple[Kind, ...] = ("exact", "hnsw", "ivf", "ivf-pq")
"""Best first: each kind needs less memory than the one before, or loses more."""


@dataclass(frozen=True)
class IndexSpec:
    """What to build, and what an opened file has to be. All plain values, to be stored as JSON.

    Attributes:
        kind: `exact` has no file.
        count: Rows; at least 1.
        dimension: Length of a row; at least 1.
        links: HNSW's M, links of a row in each layer above the lowest, which has twice as many;
            0 for other kinds.
        construction: HNSW's efConstruction, rows kept in view while a row is linked.
        lists: nlist of the IVF kinds, cells that the rows are divided into.
        codes: Bytes of a row in an IVF-PQ index: m codes of 8 bits.
        effort: How much a search looks at: HNSW's efSearch or IVF's nprobe.
        rerank: IVF-PQ: rows compared exactly for each row wanted; 1 for other kinds.
    """

    kind: Kind
    count: int
    dimension: int
    links: int = 0
    construction: int = 0
    lists: int = 0
    codes: int = 0
    effort: int = 0
    rerank: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers that no index has.

        Raises:
            InputError: A number is out of its range for the kind.
        """
        needed = {
            "exact": (),
            "hnsw": ("links", "construction", "effort"),
            "ivf": ("lists", "effort"),
            "ivf-pq": ("lists", "codes", "effort"),
        }
        if self.kind not in needed:
            raise InputError(f"There is no index of kind {self.kind!r}.", f"Use one of {KINDS}.")
        for name in ("count", "dimension", "rerank", *needed[self.kind]):
            if getattr(self, name) < 1:
                raise InputError(
                    f"{name} of an index of kind {self.kind} is {getattr(self, name)}.",
                    "It has to be 1 or more; plan_index() gives a whole set that fits.",
                )
        if self.kind == "ivf-pq" and self.dimension % self.codes:
            raise InputError(
                f"{self.codes} codes do not divide {self.dimension} dimensions.",
                "Choose a divisor; plan_index() gives one.",
            )
        if self.lists > self.count:
            raise InputError(
                f"{self.lists} lists for {self.count} rows leave lists empty.",
                "Use at most one list per row; plan_index() gives a number that fits.",
            )
