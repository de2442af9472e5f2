"""The node that says what is in some boxes: their crops, encoded and searched for together."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from langgraph.runtime import get_runtime

from rar_agent.errors import InputError
from rar_agent.forks import Lock
from rar_agent.graph.context import Context, context_of, refusing, services_of
from rar_agent.graph.detect.crops import Crops
from rar_agent.graph.detect.state import BatchState
from rar_agent.graph.detect.turns import turn
from rar_agent.graph.retrieval import retrieved, wanted_of
from rar_agent.images import AdmittedImage
from rar_agent.loop import Room
from rar_agent.ranking.retrieval import retrieval_order
from rar_agent.types import Candidate

_one, _alone = Room(1), Lock()
"""A batch uses all cores and holds its crops in memory: so there is one at a time."""


def retrieve(state: BatchState) -> dict[str, Any]:
    """Crop, encode and search; a box that cannot be cropped fails alone.

    Raises:
        InputError: What the run chooses is not valid.
        RefusedError: The same, where a graph server's client asks.
    """
    with _alone:
        return _retrieved(state)


async def aretrieve(state: BatchState) -> dict[str, Any]:
    """Like `retrieve`, for asynchronous runs, whose images take turns."""
    async with turn("retrieve", state["whole"], 1), _one.place():
        return await asyncio.to_thread(retrieve, state)


def _retrieved(state: BatchState) -> dict[str, Any]:
    runtime = get_runtime(Context)
    context = context_of(runtime)
    services = services_of(context, state["generation"])
    start = perf_counter()
    whole = Crops(services, services.image(state["whole"], state["image"]))
    crops: list[AdmittedImage] = []
    found: list[dict[str, Any]] = []
    for number, box in enumerate(state["boxes"], state["first"]):
        try:
            crop = whole.of(box)
        except InputError as error:
            found.append({"number": number, "error": str(error)})
            continue
        found.append({"number": number, "box": box, "sha256": crop.sha256})
        crops.append(crop)
    if crops:
        with refusing(context):
            wanted, ranker = wanted_of(context, services), services.crop_ranker
            vectors, norms = services.embed_all(crops)
            encode = 1000 * (perf_counter() - start) / len(crops)
            answers = iter(retrieved(vectors, norms, wanted, services, ranker))
        for one in found:
            if "error" not in one:
                update, ranks = next(answers)
                update["timings_ms"] = {"encode": encode, **update["timings_ms"]}
                if ranks and not ranker.asks:
                    candidates = [Candidate.model_validate(c) for c in update["candidates"]]
                    update["ranking"] = retrieval_order(candidates).model_dump(mode="json")
                one |= {**update, "ranks": ranks and ranker.asks}
    said = {"step": "encoded", "boxes": len(found), "of": state["of"]}
    runtime.stream_writer(said)
    return {"found": found}
