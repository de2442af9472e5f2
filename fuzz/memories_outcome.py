"""What becomes of a changed memory: it is refused by name, or all that it answers makes sense."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.memories_made import EXPORTED, queries
from fuzz.memories_mutations import Mutation
from rar_agent.errors import InputError, RarError
from rar_agent.memory import Memory, open_memory, verify_memory
from rar_agent.memory.exchange.export import export_memory
from rar_agent.memory.exchange.importing import import_memory
from rar_agent.memory.search import SearchResult
from rar_agent.memory.taxonomy import Filter

_ASKED = queries()
_NORMS = np.ones(len(_ASKED), np.float32)
_ROUNDING = 1e-6


class FindingError(Exception):
    """A changed memory that was neither refused by name nor right."""


def outcome(home: Path, mutation: Mutation, known: dict[str, Any]) -> str:
    """Use a changed memory in every way.

    Args:
        home: Where it is.
        mutation: What was changed.
        known: What `answers` says of each memory as it was made.

    Returns:
        `refused`, `refused by verify`, `the same`, or `right`: other answers, to what the files
        now say.

    Raises:
        FindingError: It was none of these.
    """
    try:
        if mutation.memory == EXPORTED:
            memory = import_memory(home, "imported", home / EXPORTED)
        else:
            memory = open_memory(home, mutation.memory)
        found = answers(memory)
        export_memory(memory, home / "again")
        wrong = verify_memory(home, memory.folder.name)
    except RarError as error:
        return _refused(mutation, error)
    if wrong:
        if not any(name in line for line in wrong for name in mutation.names):
            raise FindingError(f"verify names another file: {wrong[0][-300:]}")
        return "refused by verify"
    if found == known[mutation.memory]:
        return "the same"
    if not mutation.forged:
        raise FindingError("other answers, and verify says nothing")
    return "right"


def _refused(mutation: Mutation, error: RarError) -> str:
    said = str(error)
    if not error.fix:
        raise FindingError(f"no advice: {said[:300]}")
    if len(said) > 3_000:
        raise FindingError(f"{len(said)} characters: {said[:300]}")
    if any(ord(c) < 32 and c != "\n" for c in said):
        raise FindingError(f"control characters: {said[:300]!r}")
    if not any(name in said for name in mutation.names):
        raise FindingError(f"names no file: {type(error).__name__}: {said[:300]}")
    return "refused"


def answers(memory: Memory) -> Any:  # noqa: ANN401
    """All that a memory says, after checking that it makes sense."""
    names = [category.name for category in memory.categories]
    if len(set(names)) != len(names):
        raise FindingError("two categories of a name")
    results = [
        memory.search(_ASKED, _NORMS, 3, 3, "fitted"),
        memory.search(_ASKED, _NORMS, len(names) + 1, 1, "knn"),
    ]
    if branches := memory.taxonomy.branches():
        try:
            results.append(memory.search(_ASKED, _NORMS, 3, within=Filter((branches[0],))))
        except InputError as error:
            if "has no entries of the categories" not in str(error):
                raise
    if memory.calibrated:
        try:
            results.append(memory.search(_ASKED, _NORMS, coverage=0.9))
        except InputError as error:
            if "promised" not in str(error):
                raise
    for batch in results:
        for result in batch:
            _check(result, names, len(memory.categories))
    listed = [
        (memory.entries_of(column), memory.evidence(column), memory.exemplar_count(column))
        for column in range(len(names))
    ]
    pictures = [memory.thumbnail(entry.id) for those, _, _ in listed for entry in those]
    ids = [entry.id for those, _, _ in listed for entry in those]
    if len(set(ids)) != len(ids):
        raise FindingError("two entries of an id")
    words = [
        memory.describe_method(),
        memory.probability_means(),
        memory.describe_method("knn"),
        str(memory.calibrated),
    ]
    if memory.calibration is not None:
        words += [str(memory.calibration.accept_from(0.05)), str(memory.calibration.set_size(0.9))]
    details = [category.model_dump_json() for category in memory.categories]
    return results, listed, pictures, words, details


def _check(result: SearchResult, names: Sequence[str], count: int) -> None:
    found = [candidate.category.name for candidate in result.candidates]
    if not found:
        raise FindingError("no candidates")
    if len(set(found)) != len(found) or not set(found) <= set(names) or len(found) > count:
        raise FindingError(f"candidates {found}")
    shares = [candidate.probability for candidate in result.candidates]
    if not all(0 <= share <= 1 for share in shares) or sum(shares) > 1 + _ROUNDING:
        raise FindingError(f"probabilities {shares}")
    if sorted(shares, reverse=True) != shares:
        raise FindingError(f"probabilities {shares} do not fall")
    for candidate in result.candidates:
        near = [exemplar.similarity for exemplar in candidate.exemplars]
        if not all(abs(cosine) <= 1 for cosine in near):
            raise FindingError(f"similarities {near}")
        if len({exemplar.entry for exemplar in candidate.exemplars}) != len(near):
            raise FindingError("an exemplar twice")
    if not all(0 <= branch.probability <= 1 for branch in result.branches):
        raise FindingError("probabilities of branches")
    if result.familiarity is not None and not 0 < result.familiarity <= 1:
        raise FindingError(f"familiarity {result.familiarity}")
    if any(math.isnan(candidate.score) for candidate in result.candidates):
        raise FindingError("scores")
