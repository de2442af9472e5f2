"""Where something may be: a box before anybody says what is in it."""

from __future__ import annotations

from dataclasses import dataclass

from rar_agent.types import Box


@dataclass(frozen=True)
class Proposal:
    """A box that was given, or proposed by a detector.

    Attributes:
        box: Left, top, width and height in pixels of the upright image; it may reach over the edge.
        score: How sure the detector is that there is something, 0 to 1; None where nobody said.
        name: What the detector calls it; empty where it does not.
        id: The caller's own, as it was given.
    """

    box: Box
    score: float | None = None
    name: str = ""
    id: str = ""
