"""Whether a copy of a memory is the memory: by counts, sampled vectors and sampled searches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.memory import Memory

SAMPLE = 256
"""Entries whose vectors are compared."""
SEARCHES = 32
TOLERANCE = 1e-5
"""How far two probabilities may be apart."""
AGREEING = 0.95
"""Share of searches that have to give the same; an approximate index may miss one."""
_K = 5


@dataclass(frozen=True)
class Check:
    """Something that was compared.

    Attributes:
        what: In a few words.
        found: What was seen.
        fine: Whether it is as it should be.
    """

    what: str
    found: str
    fine: bool


def compare(source: Memory, copy: Memory, seed: int = 0) -> list[Check]:
    """Compare two memories.

    Args:
        source: The one.
        copy: The other.
        seed: Draws the samples.
    """
    checks = [_counts(source, copy), _categories(source, copy)]
    if not len(source.entries) or not all(check.fine for check in checks):
        return checks
    random = np.random.default_rng(seed)
    rows = np.sort(
        random.choice(source.entries.live, min(SAMPLE, len(source.entries)), replace=False).astype(
            np.int64
        )
    )
    ours = source.entries.vectors(rows)
    theirs = copy.entries.vectors(copy.entries.rows_of_ids(_ids(source, rows)))
    same = (ours == theirs).all(axis=1)
    found = f"{int(same.sum()):,} of {len(rows):,} are equal, every bit"
    checks.append(Check("vectors of sampled entries", found, bool(same.all())))
    queries = ours[random.permutation(len(ours))[:SEARCHES]]
    checks.append(_searches(source, copy, queries))
    return checks


def _ids(memory: Memory, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return memory.entries.fields(rows)["id"].astype(np.int64)


def _counts(source: Memory, copy: Memory) -> Check:
    ours, theirs = (
        {m: int(memory.entries.counts(m).sum()) for m in memory.entries.modalities}
        for memory in (source, copy)
    )
    found = ", ".join(f"{number:,} {modality}" for modality, number in theirs.items()) or "none"
    if ours != theirs:
        found += f", not {', '.join(f'{number:,} {m}' for m, number in ours.items()) or 'none'}"
    return Check("entries", found, ours == theirs)


def _categories(source: Memory, copy: Memory) -> Check:
    fine = bool(np.array_equal(source.categories.ids, copy.categories.ids)) and all(
        np.array_equal(source.entries.counts(m), copy.entries.counts(m))
        for m in source.entries.modalities
    )
    words = "each with as many entries" if fine else "not the same, or with other counts"
    return Check("categories", f"{copy.category_count:,}, {words}", fine)


def _searches(source: Memory, copy: Memory, queries: FloatArray) -> Check:
    norms = np.ones(len(queries), np.float32)
    agreeing, apart = 0, 0.0
    ours, theirs = (memory.search(queries, norms, _K) for memory in (source, copy))
    for one, other in zip(ours, theirs, strict=True):
        names = [[found.category.name for found in result.candidates] for result in (one, other)]
        if names[0] != names[1]:
            continue
        difference = max(
            abs(a.probability - b.probability)
            for a, b in zip(one.candidates, other.candidates, strict=True)
        )
        if difference <= TOLERANCE:
            agreeing, apart = agreeing + 1, max(apart, difference)
    found = f"{agreeing} of {len(queries)} give the same, probabilities within {apart:.0e}"
    return Check("sampled searches", found, agreeing >= AGREEING * len(queries))
