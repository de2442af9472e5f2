"""What a search of a memory finds."""

from __future__ import annotations

from dataclasses import dataclass

from rar_agent.types import Branch, Candidate, Modality


@dataclass(frozen=True)
class SearchResult:
    """What a memory says of one query.

    Attributes:
        candidates: Distinct categories, most probable first.
        branches: The branches above them, most probable first, each with the probability of all
            that is below it.
        familiarity: Share of known images that are no more similar to what the memory knows than
            this one, above 0 to 1; None where that was not calibrated.
        similar_enough: False where hardly any known image is as strange.
        coverage: What candidate sets of this size hold the right category with; None where their
            number was asked for.
    """

    candidates: tuple[Candidate, ...]
    branches: tuple[Branch, ...] = ()
    familiarity: float | None = None
    similar_enough: bool = True
    coverage: float | None = None


@dataclass(frozen=True)
class EntryInfo:
    """One entry, for people.

    Attributes:
        id: Stable id, as `remove_from_memory` takes it.
        modality: What its vector was made from.
        source: Path, text or row name.
    """

    id: int
    modality: Modality
    source: str
