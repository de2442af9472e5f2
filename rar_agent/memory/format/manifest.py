"""The memory's format, version 2: what a generation says about itself.

    NAME/CURRENT                  which generation is valid, and the sha256 of its manifest
    NAME/generations/000007.json  the manifest
    NAME/data/<sha256>.<kind>     immutable files, named by their content
    NAME/writer.lock              held by the one writer

A segment holds entries of one modality: `vectors` (raw little-endian float32, row after row),
`entries` (rows of `ENTRY`), `sources` (UTF-8 texts, found by the offsets in the entries), and,
where there are, `thumbnails` (JPEGs one after another, with their offsets) and an `index`. A layer
holds categories, a JSON line each, with rows of `CATEGORY`; the last layer that names a
category counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rar_agent.encoders import Encoder
from rar_agent.memory.format.drift_record import DriftRecord
from rar_agent.types import Modality

FORMAT_VERSION = 2

MOST = 2**62
"""Of anything that is counted, so that it can still be counted up."""
MOST_CATEGORIES = 2**31
"""Ids of categories are below; entries hold them in 4 bytes."""
MOST_DIMENSIONS = 1_000_000
LONGEST = 100_000
"""Characters of a text."""

Count = Annotated[int, Field(ge=0, le=MOST)]

MODALITIES: tuple[Modality, ...] = ("image", "text", "head")
"""An entry's modality is stored as its position here."""

ENTRY = np.dtype(
    [
        ("id", "<i8"),
        ("category", "<i4"),
        ("modality", "u1"),
        ("reserved", "V3"),
        ("length", "<f4"),  # of the row before normalisation; 1 but for head entries
        ("bias", "<f4"),  # of the linear classifier; 0 but for head entries
        ("source_start", "<i8"),
        ("source_size", "<i4"),
        ("reserved2", "V4"),
        ("content", "V32"),  # sha256 of the image's bytes or of the text
    ]
)

CATEGORY = np.dtype(
    [
        ("id", "<i8"),
        ("start", "<i8"),  # of its line, in bytes
        ("size", "<i8"),  # of its line; 0 where the category was removed
        ("name", "<u8"),  # hash of the name, 0 where it was removed
        ("parent", "<u8"),  # hash of the parent's name, 0 where there is none
    ]
)


class Record(BaseModel):
    """A frozen part of a manifest; unknown fields are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        str_max_length=LONGEST,
    )


class FileRef(Record):
    """An immutable file under `data/`."""

    name: str = Field(pattern=r"^[0-9a-f]{64}\.[a-z0-9]+$")
    size: Count
    """Bytes."""

    @property
    def sha256(self) -> str:
        """The content's hash, which is also its name."""
        return self.name.partition(".")[0]


class ThumbnailsRef(Record):
    """Small pictures of a segment's images."""

    offsets: FileRef
    """(count + 1) `<i8`: where each JPEG begins, and the last one ends; empty ones are missing."""
    images: FileRef


class IndexRef(Record):
    """An approximate index over a segment's rows."""

    file: FileRef
    kind: Literal["hnsw", "ivf", "ivf-pq"]
    parameters: dict[
        Literal["links", "construction", "lists", "codes", "effort", "rerank"],
        Annotated[int, Field(ge=0, le=2**20)],
    ]
    """As the plan chose and measuring adjusted them."""
    recall: dict[Modality, Annotated[float, Field(ge=0, le=1)]] = Field(min_length=1)
    """Share of the 10 exact nearest entries found, by modality of the query, 0 to 1."""


class SegmentRef(Record):
    """One batch of entries of one modality."""

    modality: Modality
    count: int = Field(ge=1, le=MOST)
    first_id: Count
    """The smallest id."""
    last_id: Count
    """The largest id."""
    vectors: FileRef
    entries: FileRef
    sources: FileRef
    thumbnails: ThumbnailsRef | None = None
    index: IndexRef | None = None

    def files(self) -> list[FileRef]:
        """Every file of the segment."""
        refs = [self.vectors, self.entries, self.sources]
        if self.thumbnails:
            refs += [self.thumbnails.offsets, self.thumbnails.images]
        if self.index:
            refs.append(self.index.file)
        return refs


class LayerRef(Record):
    """One batch of new, changed or removed categories."""

    count: int = Field(ge=1, le=MOST)
    rows: FileRef
    lines: FileRef


class EncoderRecord(Record):
    """The encoder that made the vectors."""

    name: str
    details: dict[str, str]
    precision: str
    text_scale: float = Field(ge=0, le=1e6)
    """Factor from image-text cosines to logits."""
    names_help: bool
    """Whether names are used without being asked."""
    templates: tuple[str, ...]
    """Texts that a name is put into, averaged; `{}` stands for the name."""
    views: Literal["one", "flip", "crops"] = "one"
    """What an exemplar's vector is the mean of: the image; it and its mirror image; five crops."""


def encoder_record(
    encoder: Encoder,
    templates: Sequence[str],
    views: Literal["one", "flip", "crops"] = "one",
) -> EncoderRecord:
    """What a manifest says of a loaded encoder.

    Args:
        encoder: The encoder of all the memory's vectors.
        templates: Texts that names are put into, with `{}` for the name.
        views: What an exemplar's vector is the mean of.
    """
    return EncoderRecord(
        name=encoder.name,
        details=dict(encoder.fingerprint.details),
        precision=encoder.fingerprint.precision,
        text_scale=encoder.text_scale,
        names_help=encoder.names_help,
        templates=tuple(templates),
        views=views,
    )


PARAMETERS = frozenset(
    {"outside", "ratio", "shrinkage", "sharpness", "image_scale", "text_weight", "text_alone"}
    | {"sharp", "flat", "share"}
)
"""Of every fit."""


class FitRecord(Record):
    """How categories are scored from exemplars, and what was measured when that was chosen."""

    rule: Literal["leave-one-out", "single-exemplars"]
    """`leave-one-out`, or the name of the fixed rule for memories too small to choose on."""
    method: Literal["gda", "knn", "cache"]
    feature_map: Literal["identity", "root"]
    parameters: dict[str, Annotated[float, Field(ge=0, le=1e15)]]
    """Of the scoring, by name; see `scoring/fit.py`."""
    compared: dict[str, float] = Field(default_factory=dict)
    """Every method that was tried: share of the left-out exemplars that it recognises, 0 to 1."""
    calibrated: bool
    left_out: Count = 0
    """Exemplars that were left out, one by one."""
    top1: float | None = Field(default=None, ge=0, le=1)
    """Share of them recognised, 0 to 1; each by one exemplar fewer than there are."""
    ece: float | None = Field(default=None, ge=0, le=1)
    """Expected calibration error over them, 15 bins, 0 to 1."""
    entries: Count
    """Exemplars that it was fitted on."""
    next_entry: Count
    """Ids from here on were learnt later."""
    changed_before: Count = 0
    """Exemplars learnt or removed since the fit that the sums know of already."""
    removed: FileRef | None = None
    """Ids of entries that were removed before."""
    arrays: FileRef
    """Everything numerical, as one `.npz` file without pickles."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Check that all parameters are there, and that shares are shares."""
        if missing := PARAMETERS - self.parameters.keys():
            raise ValueError(f"parameters have no {', '.join(sorted(missing))}")
        for name in ("share", "shrinkage"):
            if self.parameters[name] > 1:
                raise ValueError(f"{name} is {self.parameters[name]:g}, over 1")
        return self


class RankerRecord(Record):
    """How far a ranking model is believed beside this memory, and when it is asked."""

    model: str
    """`provider:name`, as it was asked for."""
    ranker: Literal["listwise", "choice", "pairwise"]
    prompt: str
    """`name@version`."""
    prompt_hash: str
    orders: Count
    """In how many orders the options were shown; 0: all rotations."""
    k: Count
    """Candidates that it was asked about, at most."""
    image_side: Count = 768
    """Longest side of the photos as it saw them, in pixels; by default as before it was kept."""
    exemplars: Count | None = None
    """Shown of each candidate, at most; None: the prompt shows none, or it was not kept yet."""
    server: str = ""
    """Hash of where it was asked, and of its weights where it runs in this process."""
    worded: float = Field(default=0.0, ge=0, le=1)
    """Share of the answers where words had to do for log-probabilities."""
    scoring: str = ""
    """What scored the candidates, in a word or two."""
    texts: dict[int, str] = Field(default_factory=dict)
    """Of up to 100 categories by id: hash of name, aliases and description."""
    weight: float = Field(ge=0)
    """Exponent of its distribution beside retrieval's; 0: it is not believed."""
    gate: float = Field(ge=0)
    """It is asked where retrieval's probability is below."""
    loss: float = Field(ge=0, le=1)
    """Accuracy that not asking costs at most, as a share."""
    budget: float | None = Field(default=None, ge=0, le=1)
    """Share of images that it may be asked about; None: the gate is fitted for `loss`."""
    images: int = Field(ge=0)
    """Left-out exemplars that it was asked about, as recognition asks."""
    calls: int = Field(ge=0)
    """Answers, those for the letters' sake and those kept from before included."""
    cached: int = Field(default=0, ge=0)
    """Of these, kept from before: they cost nothing."""
    retrieval_top1: float = Field(ge=0, le=1)
    """Share of these that retrieval alone recognises."""
    ranked_top1: float = Field(ge=0, le=1)
    """Share of these that are recognised with it, by weights fitted on others."""
    asked_share: float = Field(ge=0, le=1)
    """Share of all left-out exemplars that it would be asked about."""
    bias: float | None = Field(default=None, ge=0, le=1)
    """How far its first places follow letters: 0 not at all, 1 altogether; None: not measured."""
    prior: tuple[float, ...] = ()
    """How much it likes each letter; divided out of its answers; empty: nothing is."""
    answers: tuple[tuple[float, bool], ...] = ()
    """Of the images under the gate: the final probability of the best, and whether it was right,
    by weights fitted on others."""
    input_tokens: Count = 0
    output_tokens: Count = 0
    cost: float | None = None
    """US dollars; None where a price is not known."""
    created: str
    """UTC, ISO 8601."""
    entries: Count
    """Exemplars that there were."""
    next_entry: Count
    """Ids from here on were learnt later."""


class PriorRecord(Record):
    """How often categories are met, beside what the image says; see `scoring/prior.py`."""

    key: str = Field(min_length=1)
    """Of the categories' metadata: a count, or LVIS's `frequency`."""
    weight: float = Field(gt=0, le=10)
    """Exponent of the count."""

    def __str__(self) -> str:
        return f"prior by {self.key}, weight {self.weight:g}"


class Manifest(Record):
    """One generation of a memory."""

    format_version: Literal[2] = 2
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    generation: int = Field(ge=1, le=MOST)
    created: str
    """UTC, ISO 8601."""
    created_by: str
    """`rar-agent` and its version."""
    state: Literal["building", "ready"]
    build: str = ""
    """While building: hash of what is being learnt, so that only the same build goes on."""
    fixed: bool = False
    """A ready memory that may not be taught."""
    domain: str = ""
    """What kind of categories these are, for the ranking prompt: `bird species`."""
    encoder: EncoderRecord
    dimension: int = Field(ge=1, le=MOST_DIMENSIONS)
    thumbnails: int = Field(default=0, ge=0, le=1_000_000)
    """Longer side of the pictures kept of its images, in pixels; 0 keeps none."""
    layers: tuple[LayerRef, ...]
    category_count: Count
    """Categories with an entry; a record without one says something of a branch. While building:
    all records."""
    record_count: Count | None = None
    """Records of categories and branches; None: written by an earlier version."""
    next_category: int = Field(ge=0, le=MOST_CATEGORIES)
    next_entry: Count
    segments: tuple[SegmentRef, ...]
    tombstones: FileRef | None = None
    """Ids (`<i8`, ascending) of removed entries that segments still hold."""
    fit: FitRecord | None = None
    rankers: tuple[RankerRecord, ...] = ()
    """Ranking models that were calibrated beside it."""
    prior: PriorRecord | None = None
    """None: categories are taken to be met equally often."""
    drifts: tuple[DriftRecord, ...] = ()
    """What encoding in lower precisions was found to cost; one for each class."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Check that each entry is in one segment and that no new one gets its id."""
        names = [segment.entries.name for segment in self.segments]
        if again := [name for name, found in Counter(names).items() if found > 1]:
            raise ValueError(f"two segments have the entries {again[0]}")
        for segment in self.segments:
            if not segment.first_id <= segment.last_id < self.next_entry:
                raise ValueError(
                    f"a segment has ids {segment.first_id} to {segment.last_id}, but next_entry is "
                    f"{self.next_entry}"
                )
        return self

    def files(self) -> list[FileRef]:
        """Every file that this generation needs."""
        refs = [ref for layer in self.layers for ref in (layer.rows, layer.lines)]
        refs += [ref for segment in self.segments for ref in segment.files()]
        if self.tombstones:
            refs.append(self.tombstones)
        if self.fit:
            refs.append(self.fit.arrays)
            if self.fit.removed:
                refs.append(self.fit.removed)
        return refs
