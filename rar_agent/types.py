"""What travels between the parts: categories, candidates, rankings, recognitions.

All are frozen and dump to plain data (`model_dump`), because graph states, checkpoints, tool
artifacts and JSON lines hold plain data only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Modality = Literal["image", "text", "head"]
Decision = Literal["accepted", "abstained"]
ParseStatus = Literal["exact", "repaired", "failed", "not_asked"]

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels, as COCO has it."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Category(_Frozen):
    """A name in the vocabulary."""

    name: str = Field(min_length=1, max_length=200)
    """Unique in its memory."""
    aliases: tuple[str, ...] = ()
    """Other names of the same thing."""
    description: str = ""
    """One sentence that tells it from its neighbours."""
    parent: str = Field(default="", max_length=200)
    """Name of the category above it in the taxonomy; empty at the top."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Anything else, as plain JSON values."""


class Exemplar(_Frozen):
    """An image that the memory has learnt, as evidence for a candidate."""

    entry: int
    """Id of its entry in the memory."""
    source: str
    """Where it was read from."""
    similarity: float
    """Cosine with the query image, -1 to 1."""


class Candidate(_Frozen):
    """A distinct category that the query image could be."""

    category: Category
    score: float
    """Logarithm of `probability`, at most 0."""
    probability: float = Field(ge=0, le=1)
    """Retrieval's probability, over the whole memory (over 10,000 categories: the shortlist)."""
    evidence: tuple[Modality, ...]
    """Which modalities of entries the memory has for this category."""
    exemplars: tuple[Exemplar, ...] = ()
    """Nearest exemplars, nearest first; empty where only names are known."""


class Branch(_Frozen):
    """A branch of the taxonomy that the image could belong to."""

    name: str
    probability: float = Field(ge=0, le=1)
    """Sum of the probabilities of the categories below it."""
    categories: int
    """Number of categories below it that were scored."""


class Usage(_Frozen):
    """Tokens that a provider billed for one ranking."""

    input_tokens: int = 0
    """Tokens sent, the image's included."""
    output_tokens: int = 0
    """Tokens received."""
    cost: float | None = Field(default=0.0, ge=0)
    """US dollars; None where the price is not known."""
    cached: int = 0
    """Answers that were kept from before: nothing was billed for them."""
    kept_input_tokens: int = 0
    """Tokens that were sent for these when they were asked for."""
    kept_output_tokens: int = 0
    """Tokens that were received then."""
    kept_cost: float | None = Field(default=0.0, ge=0)
    """US dollars that they cost then; None where the price was not known."""

    @property
    def again(self) -> Usage:
        """Of the same answer to somebody who pays nothing for it."""
        whole = self.whole
        return Usage(
            cached=1,
            kept_input_tokens=whole.input_tokens,
            kept_output_tokens=whole.output_tokens,
            kept_cost=whole.cost,
        )

    @property
    def whole(self) -> Usage:
        """As if nothing had been kept from before."""
        unknown = self.cost is None or self.kept_cost is None
        return Usage(
            input_tokens=self.input_tokens + self.kept_input_tokens,
            output_tokens=self.output_tokens + self.kept_output_tokens,
            cost=None if unknown else (self.cost or 0.0) + (self.kept_cost or 0.0),
        )


def sum_usage(usages: Iterable[Usage]) -> Usage:
    """Of several calls together; where one's cost is not known, the sum is not."""
    found = list(usages)
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in found),
        output_tokens=sum(usage.output_tokens for usage in found),
        cost=_sum(usage.cost for usage in found),
        cached=sum(usage.cached for usage in found),
        kept_input_tokens=sum(usage.kept_input_tokens for usage in found),
        kept_output_tokens=sum(usage.kept_output_tokens for usage in found),
        kept_cost=_sum(usage.kept_cost for usage in found),
    )


def _sum(costs: Iterable[float | None]) -> float | None:
    known = list(costs)
    return None if None in known else math.fsum(cost for cost in known if cost is not None)


class Ranking(_Frozen):
    """An order of exactly the candidates it was given."""

    order: tuple[int, ...]
    """Positions in the list of candidates, best first: a permutation."""
    probabilities: tuple[float, ...]
    """One for each candidate, in the candidates' order; they sum to 1."""
    parse_status: ParseStatus
    """`exact`, `repaired` (see `repairs`), `failed` (retrieval order), `not_asked` (no model)."""
    repairs: int = 0
    """Letters lost, invented or repeated in the answer, that the parser made good."""
    worded: bool = False
    """Whether words at fixed odds had to do where log-probabilities were asked for."""
    ranker: str = "retrieval"
    """`retrieval`, `listwise`, `choice` or `pairwise`."""
    calls: int = 0
    """Answers of a model that went into it."""
    unpaid: int = 0
    """Questions that were not asked, as the limit on what may be spent was reached."""
    model: str = ""
    """The model that answered."""
    prompt: str = ""
    """`name@version` of the prompt."""
    prompt_hash: str = ""
    """First 12 hex digits of the prompt's sha256."""
    usage: Usage = Usage()
    letters: tuple[float, ...] = ()
    """Share of the orders in which each letter's option came first, where the options were shown in
    all rotations, so that each stood once at each letter; else empty."""
    raw: str = ""
    """The model's answer as received, cut at 1,000 characters."""


class RankedCategory(_Frozen):
    """One line of the answer."""

    category: Category
    probability: float = Field(ge=0, le=1)
    """Final probability; what it means is in `Trace.probability_means`."""
    retrieval_probability: float = Field(ge=0, le=1)
    """Before ranking."""
    evidence: tuple[Modality, ...]
    exemplars: tuple[Exemplar, ...] = ()


class Trace(_Frozen):
    """How an answer was obtained, enough to repeat it."""

    memory: str
    """Name of the memory."""
    generation: int
    """Generation of the memory that answered."""
    encoder: str
    """Encoder's name and fingerprint identity."""
    device: str
    """Torch device that the encoder ran on."""
    precision: str
    """Precision class the encoder ran at; for int8 which quantised model."""
    engine: str = "torch"
    """What ran the encoder's image half."""
    tuned: str = ""
    """When `tune` chose that, UTC; empty where it did not."""
    method: str
    """How categories were scored: head, text, knn, prototype or gda, and its parameters."""
    calibrated: bool
    """Whether `probability` was calibrated on the memory, for this ranker too."""
    probability_means: str
    """One sentence saying what the probabilities are."""
    ranker: str
    """Which ranker gave the order."""
    parse_status: ParseStatus = "not_asked"
    model: str = ""
    prompt: str = ""
    prompt_hash: str = ""
    usage: Usage = Usage()
    degraded: bool = False
    """True where ranking was asked for and the retrieval order was returned instead."""
    accepted_from: float | None = None
    """Least probability to accept, where an error rate was asked for and can be promised."""
    abstained: str = ""
    """Why the answer was abstained; empty where it was accepted."""
    reason: str = ""
    """Why it is degraded, or was not ranked; may quote the ranking model."""
    timings_ms: dict[str, float] = Field(default_factory=dict)
    """Milliseconds by part: admit, encode, search, rank."""
    versions: dict[str, str] = Field(default_factory=dict)
    """rar-agent and the libraries that decide numbers."""


class Recognition(_Frozen):
    """The result for one image."""

    image: str
    """sha256 of the image's bytes."""
    source: str
    """The image's name as the caller gave it."""
    decision: Decision
    categories: tuple[RankedCategory, ...]
    """Best first; also where abstained, as best guesses."""
    branches: tuple[Branch, ...] = ()
    """Branches of the taxonomy above the candidates, likeliest first, by retrieval."""
    branch: Branch | None = None
    """Where no category is sure enough: the smallest branch that is."""
    familiarity: float | None = Field(default=None, ge=0, le=1)
    """Share of known images that are no more similar to what the memory knows than this one; None
    where the memory is too small to say."""
    trace: Trace

    @property
    def label(self) -> str | None:
        """Name of the best category, or None where abstained."""
        return self.categories[0].category.name if self.decision == "accepted" else None

    @property
    def probability(self) -> float:
        """Probability of the best category."""
        return self.categories[0].probability if self.categories else 0.0


class Failure(_Frozen):
    """One image of a batch that could not be recognised."""

    source: str
    error: str
    """What was wrong and what to do."""
    kind: str
    """Class name of the error."""


class Detection(_Frozen):
    """One box of an image, and what is in it."""

    box: Box
    """As it was given, in pixels of the upright image; it may reach over the edge."""
    box_score: float | None = Field(default=None, ge=0, le=1)
    """How sure the detector is that there is something; None where nobody said."""
    score: float = Field(default=0.0, ge=0, le=1)
    """How sure it is that the box holds the best category; see `detection.scores`."""
    recognition: Recognition | None = None
    """None where there is a failure."""
    failure: Failure | None = None
    """Why nothing could be recognised in this box."""
    id: str = ""
    """The caller's own, as it was given."""

    @property
    def label(self) -> str | None:
        """Name of the best category, or None where abstained or failed."""
        return self.recognition.label if self.recognition else None


class Detections(_Frozen):
    """The result for one image with boxes."""

    image: str
    """sha256 of the image's bytes."""
    source: str
    """The image's name as the caller gave it."""
    width: int
    height: int
    """Of the upright image, in pixels."""
    detections: tuple[Detection, ...]
    """One for each box, in the order given."""
    proposer: str = ""
    """Who proposed the boxes; empty where they were given."""
    asked: int = 0
    """Boxes that a model was asked about."""
    usage: Usage = Usage()
    """Of all calls together."""
    reason: str = ""
    """Why fewer boxes were asked about than could have gained by it; empty otherwise."""
    timings_ms: dict[str, float] = Field(default_factory=dict)
    """Milliseconds by part: admit, propose; summed over the boxes: encode, search, rank."""
