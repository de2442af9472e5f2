"""The nodes of the detect graph: boxes, what is in each, whom to ask about which."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import asdict
from time import perf_counter
from typing import Literal, cast

from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite, Send

from rar_agent.detection import Form, Proposal, read_boxes
from rar_agent.errors import InputError
from rar_agent.graph.context import Context, context_of, refusing, services_of
from rar_agent.graph.detect.state import BatchState, DetectState
from rar_agent.graph.retrieval import wanted_of
from rar_agent.graph.services import Services
from rar_agent.images import AdmittedImage
from rar_agent.ranking import choose_boxes, gain_of_asking
from rar_agent.telemetry import part

_LONGEST_NAME = 300  # it stands in each box's recognition


def admit(
    state: DetectState, runtime: Runtime[Context]
) -> Command[Literal["retrieve", "conclude"]]:
    """Check the string that names an image, and boxes in any form; send them on in batches.

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
    generation = services.memory.manifest.generation  # that the whole run is answered by
    update = {
        "sha256": image.sha256,
        "name": str(state.get("source") or image.name)[:_LONGEST_NAME],
        "size": list(image.rgb.size),
        "proposals": [asdict(proposal) for proposal in proposals],
        "proposer": proposer,
        "generation": generation,
        # A thread's earlier run must not answer for this one, nor this one for a later.
        "boxes": None,
        "form": "",
        "found": Overwrite([]),
        "ranked": Overwrite([]),
        "asked": 0,
        "reason": "",
        "timings_ms": timings,
    }
    size = services.settings.batch_size
    batches = [
        Send(
            "retrieve",
            BatchState(
                image=state["image"],
                whole=image.sha256,
                generation=generation,
                first=first,
                boxes=[list(proposal.box) for proposal in proposals[first : first + size]],
                of=len(proposals),
            ),
        )
        for first in range(0, len(proposals), size)
    ]
    return Command(goto=batches or "conclude", update=update)


def _proposals(
    state: DetectState, image: AdmittedImage, services: Services, timings: dict[str, float]
) -> tuple[list[Proposal], str]:
    """Boxes, and who proposed them; nobody where they were given."""
    given, most, size = state.get("boxes"), services.settings.max_boxes, image.rgb.size
    if given is not None:
        if isinstance(given, Sized) and len(given) > most:
            raise InputError(
                f"{len(given)} boxes were given, more than {most}.",
                "Give fewer, or set RAR_MAX_BOXES.",
            )
        return read_boxes(given, size, cast(Form, state.get("form") or "xywh")), ""
    proposer = services.proposer
    if proposer is None:
        raise InputError(
            "No boxes were given, and there is no detector to propose them.",
            "Give boxes, or set RAR_PROPOSER, such as torchvision:fasterrcnn_resnet50_fpn_v2.",
        )
    start = perf_counter()
    with part("propose"):
        proposals = read_boxes(proposer.propose(image.rgb), size)  # it may be anybody's
    timings["propose"] = 1000 * (perf_counter() - start)
    return proposals[:most], proposer.name


def choose(state: DetectState, runtime: Runtime[Context]) -> Command[Literal["rank", "conclude"]]:
    """Say which boxes a model is asked about, and which together, over the whole image."""
    services = services_of(context_of(runtime), state.get("generation"))
    found = [one for one in state["found"] if "error" not in one]
    found.sort(key=lambda one: int(one["number"]))
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
