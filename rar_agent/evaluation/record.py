"""What is written down of each image: enough for every metric and the report, and no pixels."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from rar_agent.detection import Box
from rar_agent.types import ParseStatus, Usage


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Answer(_Frozen):
    """How one way answered."""

    names: tuple[str, ...]
    """Categories, best first; distinct."""
    probabilities: tuple[float, ...] = ()
    """One each; empty where the way gives none."""
    accepted: bool = True
    """Whether the first name was given as the answer."""
    calibrated: bool = False
    """Whether the probabilities were fitted to mean something."""


class Ranked(_Frozen):
    """How a model was asked."""

    model: str = ""
    ranker: str = ""
    prompt: str = ""
    """`name@version`."""
    prompt_hash: str = ""
    parse_status: ParseStatus = "not_asked"
    degraded: bool = False
    """Whether ranking failed, so that retrieval's order stood."""
    reason: str = ""
    """Why it was not asked, or is degraded."""
    order: tuple[str, ...] = ()
    """The model's own order of the candidates, before it was weighed against retrieval."""
    repairs: int = 0
    calls: int = 0
    usage: Usage = Usage()
    letters: tuple[float, ...] = ()
    """As `Ranking.letters`."""
    shown: int = 0
    """Categories that a model asked alone could choose from; 0: any name, or it only ranked."""
    raw: str = ""
    """What it wrote, cut at 1,000 characters."""


class Seen(_Frozen):
    """An exemplar that spoke for a candidate, for whoever looks at the report."""

    name: str
    """The candidate's."""
    source: str
    """Where the exemplar was read from."""
    similarity: float


class Record(_Frozen):
    """What became of one test image in one cell."""

    cell: str
    """Such as `4-shot, seed 1`: the setting that shares a memory."""
    sample: str
    """The image's key in the data set."""
    truth: str
    """Name of its category; of a vocabulary-free cell, the published name. Empty: a proposed box is
    around nothing that has one, so no answer is right or wrong, and only average precision counts
    it."""
    sha256: str
    """Of the image's bytes."""
    box: Box | None = None
    """In the image, left, top, width and height in pixels, where that is what is recognised."""
    area: float = 0.0
    """Of the object in it, in pixels."""
    score: float | None = None
    """How sure the detector that proposed the box is of it; None where nobody said."""
    knn: Answer | None = None
    """The paper's nearest exemplars; None where there are none, or it was not asked for."""
    retrieval: Answer | None = None
    """The fitted scoring, or text alone."""
    ranked: Answer | None = None
    """The same with a model's ranking, as a user would get it."""
    alone: Answer | None = None
    """The model alone: the names that it gave, five at most."""
    ranking: Ranked | None = None
    """How the model ranked."""
    asked_alone: Ranked | None = None
    """How the model answered alone."""
    seen: tuple[Seen, ...] = ()
    familiarity: float | None = None
    timings_ms: dict[str, float] = Field(default_factory=dict)
    """By part, as in a recognition's trace; `total` too."""
