"""What the graph remembers: plain data that any checkpointer can store, never image bytes."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from langgraph.channels import EphemeralValue
from typing_extensions import TypedDict  # pydantic wants this one under Python 3.12


def merge(old: dict[str, float], new: dict[str, float]) -> dict[str, float]:
    """Reducer of the timings: each node adds its own; `admit`, the first, begins anew."""
    return new if "admit" in new else {**old, **new}


class RecognizeInput(TypedDict):
    """What a run is given."""

    image: str
    """A path under a root or an allowed https URL; of a caller in this process, the content hash of
    an image in its store."""
    source: Annotated[NotRequired[str], EphemeralValue]
    """The image's name for people; default: `image`."""


class RecognizeOutput(TypedDict):
    """What a run answers."""

    recognition: dict[str, Any]
    """A dumped `Recognition`."""


class RecognizeState(TypedDict, total=False):
    """What travels between the nodes."""

    image: str
    source: Annotated[str, EphemeralValue]  # gone after `admit`, so no later run finds it
    name: str
    """The image's name for people."""
    sha256: str
    """Content hash of the admitted image."""
    candidates: list[dict[str, Any]]
    """Dumped `Candidate`s, most probable first."""
    shown: int
    """How many of the first candidates a model is shown."""
    branches: list[dict[str, Any]]
    """Dumped `Branch`es above the candidates."""
    familiarity: float | None
    ranking: dict[str, Any] | None
    """Dumped `Ranking`; None where nothing was ranked."""
    abstain: str
    """Why the answer is abstained whatever is ranked; empty otherwise."""
    reason: str
    """Why it was not ranked, or is degraded."""
    degraded: bool
    memory: str
    generation: int
    timings_ms: Annotated[dict[str, float], merge]
    recognition: dict[str, Any]
