"""The node that ends: a recognition for each box, and how sure each detection is."""

from __future__ import annotations

from typing import Any, cast

from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from rar_agent.detection import fused
from rar_agent.graph.conclusion import conclusion
from rar_agent.graph.context import Context, context_of, services_of
from rar_agent.graph.detect.state import DetectState
from rar_agent.graph.services import Services
from rar_agent.graph.state import RecognizeState
from rar_agent.telemetry import recognized
from rar_agent.types import (
    Candidate,
    Detection,
    Detections,
    Failure,
    Ranking,
    Recognition,
    sum_usage,
)

_SUMMED = ("encode", "search", "rank")
"""Parts that each box has a time of."""

_SPARED = "not asked about: other boxes of the image could gain more by it"


def conclude(state: DetectState, runtime: Runtime[Context]) -> dict[str, Any]:
    """Fuse, decide and write the detections."""
    context = context_of(runtime)
    services = services_of(context, state.get("generation"))
    of = {one["number"]: one for one in state["found"]}
    for number in of.keys() - {one["number"] for one in state["ranked"]}:
        if of[number].get("ranks"):
            of[number] = {**of[number], "reason": _SPARED}
    for one in state["ranked"]:
        known = of[one["number"]]
        timings = {**known["timings_ms"], **one["timings_ms"]}
        of[one["number"]] = {**known, **one, "timings_ms": timings}
    detections = [
        _detection(proposal, of[number], f"{state['name']}#{number + 1}", services, context)
        for number, proposal in enumerate(state["proposals"])
    ]
    recognitions = [one.recognition for one in detections if one.recognition]
    summed = {
        part: sum(found.trace.timings_ms.get(part, 0.0) for found in recognitions)
        for part in _SUMMED
    }
    width, height = state["size"]
    whole = Detections(
        image=state["sha256"],
        source=state["name"],
        width=width,
        height=height,
        detections=tuple(detections),
        proposer=state["proposer"],
        asked=state["asked"],
        usage=sum_usage(found.trace.usage for found in recognitions),
        reason=state["reason"],
        timings_ms={
            name: round(ms, 2) for name, ms in {**state["timings_ms"], **summed}.items() if ms
        },
    )
    # The detections hold it all; the checkpoint need not hold it twice.
    dumped = whole.model_dump(mode="json")
    return {"detections": dumped, "found": Overwrite([]), "ranked": Overwrite([])}


def _detection(
    proposal: dict[str, Any],
    found: dict[str, Any],
    name: str,
    services: Services,
    context: Context,
) -> Detection:
    box, score = proposal["box"], proposal["score"]
    if "error" in found:
        failure = Failure(source=name, error=found["error"], kind="InputError")
        return Detection(box=box, box_score=score, failure=failure, id=proposal["id"])
    recognition = _recognition(found, name, services, context)
    recognized(recognition)
    weight = services.settings.box_weight
    return Detection(
        box=box,
        box_score=score,
        score=fused(recognition.probability, score, weight),
        recognition=recognition,
        id=proposal["id"],
    )


def _recognition(
    found: dict[str, Any], name: str, services: Services, context: Context
) -> Recognition:
    generation = services.memory.manifest.generation
    state = cast(RecognizeState, {**found, "name": name, "generation": generation})
    return conclusion(
        state,
        [Candidate.model_validate(candidate) for candidate in found["candidates"]],
        Ranking.model_validate(found["ranking"]) if found.get("ranking") else None,
        services,
        context.method,
        services.crop_ranker,
        filtered=bool(context.only or context.where),
    )
