"""The nodes of the detect graph: boxes, their crops, what is in each, whom to ask about which."""

from __future__ import annotations

from dataclasses import asdict
from time import perf_counter
from typing import Any, Literal

from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite, Send

from rar_agent.detection import Proposal, read_boxes
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.forks import Lock
from rar_agent.graph.context import Context, context_of, refusing, services_of
from rar_agent.graph.detect.crops import Crops
from rar_agent.graph.detect.state import BoxState, DetectState
from rar_agent.graph.retrieval import retrieved, wanted_of
from rar_agent.graph.services import Services
from rar_agent.images import AdmittedImage
from rar_agent.ranking import choose_boxes, gain_of_asking
from rar_agent.ranking.retrieval import retrieval_order
from rar_agent.telemetry import part
from rar_agent.types import Candidate

_one_search = Lock()
"""Searches of a process's boxes: many at once fight for the cores that one of them uses all of."""


def admit(state: DetectState, runtime: Runtime[Context]) -> dict[str, Any]:
    """From the string that names an image, and boxes in any form, to what is checked.

    Raises:
        ImageError: It may not be read, or is no image within the limits.
        InputError: A box is none, there are too many, or none were given and nobody proposes any.
        RefusedError: The same, where a graph server's client asks.
    """
    context, start = context_of(runtime), perf_counter()
    with refusing(context):
        services = services_of(context)
        if not isinstance(state["image"], str):
            raise InputError(
                f"The image is a {type(state['image']).__name__}.", "Give its path or URL."
            )
        wanted_of(context, services)  # what is not valid is said before anything is done
        image = services.image(state["image"], state["image"])
        timings = {"admit": 1000 * (perf_counter() - start)}
        proposals, proposer = _proposals(state, image, services, timings)
    return {
        "sha256": image.sha256,
        "name": str(state.get("source") or image.name),
        "size": list(image.rgb.size),
        "proposals": [asdict(proposal) for proposal in proposals],
        "proposer": proposer,
        "generation": services.memory.manifest.generation,  # that the whole run is answered by
        # A thread's earlier run must not answer for this one.
        "found": Overwrite([]),
        "ranked": Overwrite([]),
        "asked": 0,
        "reason": "",
        "timings_ms": timings,
    }


def _proposals(
    state: DetectState, image: AdmittedImage, services: Services, timings: dict[str, float]
) -> tuple[list[Proposal], str]:
    """Boxes, and who proposed them; nobody where they were given."""
    given = state.get("boxes")
    if given is not None:
        proposals = read_boxes(given, image.rgb.size, state.get("form") or "xywh")  # type: ignore[arg-type] # it checks
        most = services.settings.max_boxes
        if len(proposals) > most:
            raise InputError(
                f"{len(proposals)} boxes were given, more than {most}.",
                "Give fewer, or set RAR_MAX_BOXES.",
            )
        return proposals, ""
    proposer = services.proposer
    if proposer is None:
        raise ConfigurationError(
            "No boxes were given, and there is no detector to propose them.",
            "Give boxes, or set RAR_PROPOSER, such as torchvision:fasterrcnn_resnet50_fpn_v2.",
        )
    start = perf_counter()
    with part("propose"):
        proposals = list(proposer.propose(image.rgb))
    timings["propose"] = 1000 * (perf_counter() - start)
    return proposals[: services.settings.max_boxes], proposer.name


def encode(
    state: DetectState, runtime: Runtime[Context]
) -> Command[Literal["retrieve", "conclude"]]:
    """Crop and encode all boxes, batch by batch; a box that cannot be cropped fails alone."""
    context, start = context_of(runtime), perf_counter()
    services = services_of(context, state.get("generation"))
    crops = Crops(services, services.image(state["sha256"], state["image"]))
    proposals, boxes = [dict(proposal) for proposal in state["proposals"]], list[Send]()
    size = services.settings.batch_size
    for begin in range(0, len(proposals), size):
        batch: list[AdmittedImage] = []
        for number in range(begin, min(begin + size, len(proposals))):
            try:
                crop = crops.of(proposals[number]["box"])
            except InputError as error:
                proposals[number]["error"] = str(error)
                continue
            if services.embedding(crop.sha256) is None:
                batch.append(crop)
            box: BoxState = {
                "number": number,
                "image": state["image"],
                "generation": state["generation"],
                "whole": state["sha256"],
                "box": list(proposals[number]["box"]),
                "sha256": crop.sha256,
            }
            boxes.append(Send("retrieve", box))
        if batch:
            services.embed_all(batch, remembered=len(proposals))
        done = min(begin + size, len(proposals))
        runtime.stream_writer({"step": "encoded", "boxes": done, "of": len(proposals)})
    update = {
        "proposals": proposals,
        "timings_ms": {"encode": 1000 * (perf_counter() - start)},
    }
    return Command(goto=boxes or "conclude", update=update)


def retrieve(state: BoxState, runtime: Runtime[Context]) -> dict[str, Any]:
    """Search the memory for one box.

    Raises:
        InputError: What the run chooses is not valid.
        RefusedError: The same, where a graph server's client asks.
    """
    context = context_of(runtime)
    services = services_of(context, state["generation"])
    with refusing(context):
        wanted = wanted_of(context, services)
        known = services.embedding(state["sha256"])
        if known is None:  # this process did not encode it
            whole = services.image(state["whole"], state["image"])
            known = services.embed(Crops(services, whole).of(state["box"]))
        ranker = services.crop_ranker
        with _one_search:
            update, ranks = retrieved(*known, wanted, services, ranker)
    if ranks and not ranker.asks:
        candidates = [Candidate.model_validate(one) for one in update["candidates"]]
        update["ranking"] = retrieval_order(candidates).model_dump(mode="json")
    found = {"number": state["number"], "sha256": state["sha256"], "box": state["box"], **update}
    return {"found": [{**found, "ranks": ranks and ranker.asks}]}


def choose(state: DetectState, runtime: Runtime[Context]) -> Command[Literal["rank", "conclude"]]:
    """Say which boxes a model is asked about, and which together, over the whole image."""
    services = services_of(context_of(runtime), state.get("generation"))
    found = sorted(state["found"], key=lambda one: int(one["number"]))
    scores = [state["proposals"][one["number"]]["score"] for one in found]
    gains = [
        gain_of_asking([c["probability"] for c in one["candidates"]], one["shown"], score)
        if one["ranks"]
        else None
        for one, score in zip(found, scores, strict=True)
    ]
    chosen = choose_boxes(gains, services.settings.crops_asked)
    could = sum(one is not None for one in gains)
    several = services.crops_ranker if chosen else None
    together = several.together if several else 1
    groups = [chosen[at : at + together] for at in range(0, len(chosen), together)]
    if groups:
        told = {"step": "ranking", "boxes": len(chosen), "calls": len(groups)}
        runtime.stream_writer(told)
    sends = [
        Send(
            "rank",
            {
                "image": state["image"],
                "generation": state["generation"],
                "whole": state["sha256"],
                "group": [found[place] for place in group],
            },
        )
        for group in groups
    ]
    spared = could - len(chosen)
    reason = (
        f"{spared} of {could} boxes were not asked about: {len(chosen)} at most" if spared else ""
    )
    return Command(goto=sends or "conclude", update={"asked": len(chosen), "reason": reason})
