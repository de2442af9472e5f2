"""From an embedding to candidates, and whether a model is to rank them."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any, get_args

from rar_agent.encoders import FloatArray
from rar_agent.errors import InputError
from rar_agent.graph.cascade import Cascade, shown
from rar_agent.graph.context import Context
from rar_agent.graph.services import Services
from rar_agent.memory import Filter, Memory, SearchResult
from rar_agent.memory.search import Method
from rar_agent.ranking import Ranker
from rar_agent.settings import MOST_CANDIDATES
from rar_agent.telemetry import part, without_folders


@dataclass(frozen=True)
class Wanted:
    """What a run wants of the memory.

    Attributes:
        k: Candidates.
        coverage: Share of images whose category is to be among them; None: as many as `k`.
        method: How categories are scored.
        within: What may be answered; None: all.
    """

    k: int
    coverage: float | None
    method: Method
    within: Filter | None


def wanted_of(context: Context, services: Services) -> Wanted:
    """What the run chooses; a number of candidates comes before a coverage.

    Raises:
        InputError: It is not valid.
    """
    k = context.k if context.k is not None else services.settings.k
    if not isinstance(k, int) or not 1 <= k <= MOST_CANDIDATES:
        raise InputError(f"k = {k!r} is not valid.", f"Give 1 to {MOST_CANDIDATES}.")
    if context.method not in get_args(Method):
        raise InputError(f"Method {context.method!r} is unknown.", "Give fitted or knn.")
    coverage = context.coverage
    if context.coverage is None and context.k is None:
        coverage = services.settings.coverage
    filtered = context.only or context.where
    within = Filter(tuple(context.only), context.where) if filtered else None
    return Wanted(k, coverage, context.method, within)


def retrieved(
    vectors: FloatArray, norms: FloatArray, wanted: Wanted, services: Services, ranker: Ranker
) -> list[tuple[dict[str, Any], bool]]:
    """Search the memory.

    Args:
        vectors: (n, d) embeddings of images.
        norms: (n,) their lengths before normalisation.
        wanted: What of the memory.
        services: For the memory and what was fitted on it.
        ranker: Who would rank.

    Returns:
        Of each image the update of the state, and whether ranking can change the answer.

    Raises:
        InputError: What is wanted is not valid, or a coverage cannot be promised.
        NotFoundError: A filter names an unknown branch.
    """
    memory, start = services.memory, perf_counter()
    with part("search", k=wanted.k):
        results = memory.search(
            vectors,
            norms,
            wanted.k,
            services.settings.exemplars,
            wanted.method,
            coverage=wanted.coverage,
            within=wanted.within,
        )
    each = 1000 * (perf_counter() - start) / len(vectors)
    cascade = services.cascade(ranker.prompt_hash) if ranker.asks else None
    answers = []
    for found in results:
        candidates = [candidate.model_dump(mode="json") for candidate in found.candidates]
        update: dict[str, Any] = {
            "candidates": without_folders(candidates) if services.remote else candidates,
            "branches": [branch.model_dump(mode="json") for branch in found.branches],
            "familiarity": found.familiarity,
            "memory": memory.name,
            "timings_ms": {"search": each},
        }
        ranks, about = _ranks(found, wanted, memory, cascade)
        answers.append(({**update, **about}, ranks))
    return answers


def _ranks(
    found: SearchResult, wanted: Wanted, memory: Memory, cascade: Cascade | None
) -> tuple[bool, dict[str, Any]]:
    """Whether ranking can change an answer, and what is to be said about that."""
    about: dict[str, Any] = {}
    if wanted.coverage is not None and found.coverage is None:
        about["reason"] = (
            f"the candidate set for coverage {wanted.coverage:g} is cut at {len(found.candidates)}"
        )
    if not found.similar_enough:
        about["abstain"] = (
            f"nothing similar enough: only {100 * (found.familiarity or 0):.1f} % of known images "
            "are as far from all that the memory knows"
        )
        return False, about
    probabilities = [candidate.probability for candidate in found.candidates]
    about["shown"] = len(probabilities)
    if cascade:
        fitted = wanted.method == "fitted"
        cascade = cascade.of(len(probabilities), wanted.method)
        if why := cascade.skips(memory, probabilities, fitted):
            return False, {**about, "reason": f"not ranked: {why}"}
        if fitted:
            about["shown"] = shown(memory, probabilities)
    return True, about
