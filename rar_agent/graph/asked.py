"""What callers in this process ask of a graph, and what it is run with for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from rar_agent.graph.context import Context
from rar_agent.graph.services import Services
from rar_agent.images import AdmittedImage
from rar_agent.memory.search import Method


class Asked(TypedDict, total=False):
    """What may be asked of one image; each may be left out."""

    k: int
    """Candidates; default: the settings' number."""
    method: Method
    """`fitted`, or the paper's `knn`."""
    coverage: float
    """Share of images whose category is to be among the candidates, in place of `k`."""
    only: Sequence[str]
    """Names of branches or categories that may be answered."""
    where: dict[str, Any]
    """Metadata that categories must have to be answered: `{"region": "Europe"}`."""


def context_for(services: Services, asked: Asked) -> Context:
    """The runtime context of what a caller in this process asks."""
    return Context(
        k=asked.get("k"),
        method=asked.get("method", "fitted"),
        coverage=asked.get("coverage"),
        only=tuple(asked.get("only", ())),
        where=asked.get("where"),
        services=services,
    )


def given(
    services: Services, image: AdmittedImage, asked: Asked, boxes: bool = False
) -> dict[str, Any]:
    """What a graph is run with: input, context and config.

    Args:
        services: Live objects.
        image: In their store.
        asked: Of it.
        boxes: Whether it is asked about its boxes.
    """
    return {
        "input": {"image": image.sha256, "source": image.name},
        "context": context_for(services, asked),
        "config": {"tags": ["rar-agent"], "metadata": _traced_as(services, boxes)},
    }


def _traced_as(services: Services, boxes: bool) -> dict[str, str | int]:
    """What a trace is found by, in LangSmith for one."""
    settings, memory = services.settings, services.memory
    ranker = services.crop_ranker if boxes else services.ranker
    prompt = settings.crop_ranking_prompt if boxes else settings.ranking_prompt
    found: dict[str, str | int] = {
        "rar_memory": memory.name,
        "rar_generation": memory.manifest.generation,
        "rar_encoder": f"{memory.manifest.encoder.name} {memory.fingerprint.identity}",
    }
    if not ranker.asks:
        return found
    return found | {
        "rar_model": settings.model or "",
        "rar_prompt": prompt,
        "rar_prompt_hash": ranker.prompt_hash,
    }
