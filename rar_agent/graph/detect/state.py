"""What the detect graph remembers: boxes and what was found in them, never pixels."""

from __future__ import annotations

from operator import add
from typing import Annotated, Any, NotRequired

from langgraph.channels import EphemeralValue
from typing_extensions import TypedDict  # pydantic wants this one under Python 3.12

from rar_agent.graph.state import merge


class DetectInput(TypedDict):
    """What a run is given."""

    image: str
    """A path under a root or an allowed https URL; of a caller in this process, the content hash of
    an image in its store."""
    boxes: NotRequired[list[Any] | None]
    """Each four numbers, or an object with `box`, `score`, `name` and `id`; None: the settings'
    proposer proposes them."""
    form: NotRequired[str]
    """Of the numbers, see `detection.Form`; default: `xywh`."""
    source: Annotated[NotRequired[str], EphemeralValue]
    """The image's name for people; default: `image`."""


class DetectOutput(TypedDict):
    """What a run answers."""

    detections: dict[str, Any]
    """Dumped `Detections`."""


class BatchState(TypedDict):
    """What travels of the boxes that are encoded together, sent by `Send`."""

    image: str
    whole: str
    """Content hash of the image."""
    generation: int
    first: int
    """Place of the first one among the boxes that were given."""
    boxes: list[list[float]]
    of: int
    """Boxes of the image."""


class GroupState(TypedDict):
    """What travels of boxes that a model is asked about together."""

    image: str
    whole: str
    generation: int
    group: list[dict[str, Any]]
    """Of each box what was found, and its `box`."""


class DetectState(TypedDict, total=False):
    """What travels between the nodes."""

    image: str
    boxes: list[Any] | None
    """Gone after `admit`, like the form, so that no later run of a thread finds them."""
    form: str
    source: Annotated[str, EphemeralValue]
    name: str
    """The image's name for people."""
    sha256: str
    """Content hash of the admitted image."""
    size: list[int]
    """Width and height of the upright image, in pixels."""
    proposals: list[dict[str, Any]]
    """Boxes with their scores, names and ids."""
    proposer: str
    found: Annotated[list[dict[str, Any]], add]
    """What was retrieved for each box, as `RecognizeState` has it, with its `number`; of one that
    cannot be cropped, its `error`."""
    ranked: Annotated[list[dict[str, Any]], add]
    """What was ranked, likewise."""
    asked: int
    """Boxes that a model was asked about."""
    reason: str
    generation: int
    timings_ms: Annotated[dict[str, float], merge]
    detections: dict[str, Any]
