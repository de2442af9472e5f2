"""From candidates and a ranking to a recognition: fuse, decide, say how it was obtained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import rar_agent
from rar_agent.graph.cascade import accept_from
from rar_agent.graph.services import WAYS, Services
from rar_agent.memory import Memory
from rar_agent.memory.format.manifest import RankerRecord
from rar_agent.memory.search import Method
from rar_agent.ranking import Ranker
from rar_agent.settings import Settings
from rar_agent.types import (
    Branch,
    Candidate,
    Decision,
    RankedCategory,
    Ranking,
    Recognition,
    Trace,
)

if TYPE_CHECKING:  # langgraph's
    from rar_agent.graph.state import RecognizeState

_BRANCH_SURE = 0.5
_LIBRARIES = ("torch", "faiss-cpu", "pillow", "numpy", "open_clip_torch", "timm")


def conclusion(
    state: RecognizeState,
    candidates: Sequence[Candidate],
    ranking: Ranking | None,
    services: Services,
    method: Method,
    ranker: Ranker,
    filtered: bool = False,
) -> Recognition:
    """Write the recognition of one image.

    Args:
        state: The graph's state before it ends.
        candidates: In retrieval order.
        ranking: Of exactly these candidates; None where none was made.
        services: For the memory, the encoder and the thresholds.
        method: How the candidates were scored.
        ranker: Who was to rank.
        filtered: Whether some categories could not be answered.
    """
    memory, settings = services.memory, services.settings
    answered = ranking is not None and ranking.parse_status in ("exact", "repaired")
    cascade = None
    if ranking is not None and answered:
        cascade = services.cascade(ranking.prompt_hash)
        cascade = cascade.of(len(candidates), method).said(ranking.worded)
    record = cascade.record if cascade else None
    calibrated = memory.calibrated and method == "fitted" and (record is not None or not answered)
    probabilities = [candidate.probability for candidate in candidates]
    if ranking is not None and cascade is not None:
        unfitted = WAYS[ranking.ranker].unfitted_weight
        probabilities = cascade.fused(probabilities, ranking.probabilities, unfitted)
    order = sorted(range(len(candidates)), key=lambda i: -probabilities[i])
    abstain, branch, accepted_from = state.get("abstain", ""), None, None
    best = max(probabilities, default=0.0)
    branches = tuple(Branch.model_validate(dumped) for dumped in state.get("branches", ()))
    if not abstain and (calibrated or not answered or settings.error_rate is not None):
        why_not = cascade.why_not if cascade else memory.probability_means(method)
        threshold, why = _threshold(memory, settings, calibrated, why_not, record)
        if best < threshold:
            abstain = why or f"not sure enough: {best:.2f} is under {threshold:.2f}"
            branch = _sure_branch(branches, threshold)
        accepted_from = threshold if settings.error_rate is not None and threshold <= 1 else None
    decision: Decision = "abstained" if abstain or not candidates else "accepted"
    means = memory.probability_means(method)
    if cascade:
        means = f"retrieval ({means}) times the model's, " + (
            f"calibrated on {record.images} left-out exemplars, weight {record.weight:.2f}"
            if record
            else f"by a fixed weight, uncalibrated: {cascade.why_not}"
        )
    if filtered:  # thresholds stay what they are, but nobody measured them there
        calibrated, means = False, f"within a filter, where nothing was measured; else {means}"
    return Recognition(
        image=state["sha256"],
        source=state["name"],
        decision=decision,
        categories=tuple(
            RankedCategory(
                category=candidates[i].category,
                probability=min(1.0, probabilities[i]),
                retrieval_probability=candidates[i].probability,
                evidence=candidates[i].evidence,
                exemplars=candidates[i].exemplars,
            )
            for i in order
        ),
        branches=branches,
        branch=branch,
        familiarity=state.get("familiarity"),
        trace=Trace(
            memory=state["memory"],
            generation=state["generation"],
            encoder=f"{services.encoder.name} {services.encoder.fingerprint.identity}",
            device=services.encoder.device,
            precision=services.encoder.fingerprint.precision,
            engine=services.encoder.fingerprint.engine,
            tuned=services.encoder.fingerprint.since,
            method=memory.describe_method(method),
            calibrated=calibrated,
            probability_means=means,
            ranker=ranker.name if ranking or state.get("degraded") else "none",
            parse_status=ranking.parse_status if ranking else "not_asked",
            model=ranking.model if ranking else "",
            prompt=ranking.prompt if ranking else "",
            prompt_hash=ranking.prompt_hash if ranking else "",
            usage=ranking.usage if ranking else Trace.model_fields["usage"].default,
            degraded=bool(state.get("degraded")),
            accepted_from=accepted_from,
            abstained=abstain,
            reason=state.get("reason", ""),
            timings_ms={part: round(ms, 2) for part, ms in state["timings_ms"].items()},
            versions=versions(),
        ),
    )


def _threshold(
    memory: Memory,
    settings: Settings,
    calibrated: bool,
    why_not: str,
    record: RankerRecord | None,
) -> tuple[float, str]:
    """Least probability to accept, and why nothing can be, where that is so."""
    rate = settings.error_rate
    if rate is None:
        return (settings.abstain_below if calibrated else 0.0), ""
    if not calibrated:
        return 2.0, f"an error rate of {rate:g} cannot be promised: {why_not}"
    threshold, count = accept_from(memory, record, rate)
    if threshold > 1:
        return 2.0, f"an error rate of {rate:g} cannot be promised by {count} left-out exemplars"
    return threshold, ""


def _sure_branch(branches: Sequence[Branch], threshold: float) -> Branch | None:
    """The smallest branch that is as sure as an answer has to be, and likelier than not."""
    least = max(_BRANCH_SURE, min(threshold, 1.0))
    sure = [branch for branch in branches if branch.probability >= least]
    return min(sure, key=lambda branch: (branch.categories, -branch.probability), default=None)


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """rar-agent's version and those of the libraries that decide numbers."""
    found = {"rar-agent": rar_agent.__version__}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
