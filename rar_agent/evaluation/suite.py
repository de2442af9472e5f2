"""A suite: what is measured on what, as a YAML file that decides every result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from rar_agent.content import content_folders
from rar_agent.detection import CropStyle
from rar_agent.errors import ConfigurationError, InputError, NotFoundError
from rar_agent.settings import MOST_CANDIDATES

Way = Literal["knn", "retrieval", "ranked", "alone"]
"""How an image is answered: the paper's nearest exemplars; the fitted scoring; the same with a
model's ranking; a multimodal LLM alone, which reads as many options as fit."""

_TOLD = {"name", "title", "description", "metrics", "beside", "also", "smoke"}
"""Keys that decide no result."""
_STYLE = CropStyle()


def _distinct(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a number stands twice")
    return values


Seeds = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_distinct)]
Counts = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1), AfterValidator(_distinct)
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CropRecipe(_Part):
    """How boxes are shown, see `CropStyle`; images that are no boxes are shown as they are."""

    scales: tuple[float, float, float] = _STYLE.scales
    """Side of the crop in sides of the box, of boxes under 32 x 32 pixels, under 96 x 96, and
    larger ones, each at least 1."""
    square: bool = _STYLE.square
    """Whether the shorter side is widened to the longer one, with grey over the image's edge."""
    blur: float = _STYLE.blur
    """Standard deviation of the blur around the box, in sides of the crop, at most 1; 0: sharp."""
    outline: bool = _STYLE.outline
    """Whether a red line is drawn around the box."""

    @model_validator(mode="after")
    def _is_a_style(self) -> CropRecipe:
        try:
            _ = self.style
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def style(self) -> CropStyle:
        """As crops are made."""
        return CropStyle(self.scales, self.square, self.blur, self.outline)


class FewShot(_Part):
    """The memory knows some exemplars of each category, drawn by the seed."""

    kind: Literal["few-shot"] = "few-shot"
    shots: Counts = (1, 2, 4, 8, 16)
    """Exemplars a category; a category that has fewer gives all."""
    seeds: Seeds = (1, 2, 3)


class ZeroShot(_Part):
    """The memory knows names alone."""

    kind: Literal["zero-shot"] = "zero-shot"


class VocabularyFree(_Part):
    """Names are guessed by a multimodal LLM from a few unlabelled images (FineR's protocol)."""

    kind: Literal["vocabulary-free"] = "vocabulary-free"
    images: int = Field(default=3, ge=1)
    """Unlabelled images a category, of train."""
    seeds: Seeds = (1, 2, 3)


class Categories(_Part):
    """The paper's claim: the same images among ever more categories."""

    kind: Literal["categories"] = "categories"
    counts: Counts = (10, 50, 100, 1_000)
    """Categories that are known; counts past the data set's own are left out."""
    shots: int = Field(default=4, ge=0)
    """Exemplars a category; 0: names alone."""
    seeds: Seeds = (1,)


class Candidates(_Part):
    """The same images and memory, with ever more candidates."""

    kind: Literal["candidates"] = "candidates"
    ks: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MOST_CANDIDATES)], ...],
        Field(min_length=1),
        AfterValidator(_distinct),
    ] = tuple(range(1, 11))
    """Candidates that are retrieved and ranked, in place of the suite's `k`."""
    shots: int = Field(default=4, ge=1)
    """Exemplars a category."""
    seeds: Seeds = (1,)


class Crops(_Part):
    """The same boxes, shown in different styles; each is learnt and asked in its own memory."""

    kind: Literal["crops"] = "crops"
    styles: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,39}$")], CropRecipe] = Field(
        min_length=1
    )
    """By name, in place of the suite's `crop`; what one does not say is as usual."""
    shots: int = Field(default=0, ge=0)
    """Exemplars a category, and no names; 0: names alone. Of a data set that has nothing to learn
    from, drawn by the seed from images that are then not asked about."""
    images: int = Field(default=0, ge=0)
    """Only categories with boxes in at least so many images."""
    seeds: Seeds = (1,)


Protocol = FewShot | ZeroShot | VocabularyFree | Categories | Candidates | Crops
PROTOCOLS: tuple[type[_Part], ...] = get_args(Protocol)


class MemoryRecipe(_Part):
    """What is learnt of each category, and by which encoder."""

    encoder: str = "auto"
    """As for `memory create`."""
    texts: bool | None = None
    """Whether names are learnt as texts; None: where the protocol has nothing else, and guessed
    ones."""
    templates: tuple[str, ...] = ()
    """What names are put into, with `{}`; none: the data set's own."""


class RankerRecipe(_Part):
    """Who ranks, and how."""

    model: str | None = None
    """`provider:name`; `simulated:0.8` is right about four of five images whose category is among
    the candidates, and is marked as simulated wherever its figures stand; None: nobody ranks."""
    base_url: str | None = None
    """OpenAI-compatible server."""
    way: Literal["listwise", "choice", "pairwise"] = "listwise"
    prompt: str | None = None
    """`name@version`; None: the one of the way, pinned."""
    orders: int = Field(default=1, ge=0, le=MOST_CANDIDATES)
    """In how many orders the options are shown; 0: all."""
    alone_prompt: str = "alone@1"
    """What a model is asked alone, with names to choose from; pinned."""
    guess_prompt: str = "guess@1"
    """What it is asked where nobody knows the names; pinned."""
    alone_tokens: int = Field(default=32_000, ge=100)
    """For the names that a model alone chooses from; what does not fit is left out, drawn by the
    seed, and counts as wrong."""


class Suite(_Part):
    """What is measured on what."""

    name: str
    """As its file."""
    title: str = ""
    """For people."""
    description: str = ""
    """What its figures say, and what they do not."""
    dataset: str | dict[str, Any]
    """Name of a data set's card, or a card: `{images: FOLDER}` is enough."""
    protocol: Protocol = Field(default_factory=FewShot, discriminator="kind")
    memory: MemoryRecipe = MemoryRecipe()
    crop: CropRecipe = CropRecipe()
    k: int = Field(default=5, ge=1, le=MOST_CANDIDATES)
    """Candidates, that is distinct categories, that are retrieved and ranked."""
    ranker: RankerRecipe = RankerRecipe()
    ways: tuple[Way, ...] = ("knn", "retrieval", "ranked", "alone")
    """Side by side on the same images. Without a model nothing is ranked or asked alone; a
    simulated one is never asked alone."""
    limit: int | None = Field(default=None, ge=1)
    """Test images of each cell, drawn by its seed, evenly over categories; None: all."""
    metrics: tuple[str, ...] = ()
    """Shown first in the report, by name; none: the usual ones."""
    beside: str = ""
    """Row of the paper that its figures stand beside, of `evals/paper.yaml`."""
    also: tuple[str, ...] = ()
    """Suites that are run after it, where their data sets are there; not theirs in turn."""
    smoke: bool = False
    """Whether it only shows that all works."""

    @field_validator("protocol", mode="before")
    @classmethod
    def _usual_kind(cls, value: object) -> object:
        return {"kind": "few-shot", **value} if isinstance(value, dict) else value

    @field_validator("metrics")
    @classmethod
    def _are_measured(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if metrics:
            from rar_agent.evaluation.metrics.names import metric_names  # imports this

            names = metric_names()
            for name in metrics:
                if name not in names:
                    raise ValueError(f"there is no metric '{name}'; there is {', '.join(names)}")
        return metrics

    @property
    def configuration(self) -> dict[str, Any]:
        """All that decides results of any data set, as plain data; titles do not.

        `crop` decides results of boxes alone, and is not in it; nor is `nms` of a card of the
        suite's own, by which proposals are only measured.
        """
        found = self.model_dump(mode="json", exclude={*_TOLD, "crop"})
        return {**found, "dataset": _answered(found["dataset"])}


def _answered(dataset: str | dict[str, Any]) -> str | dict[str, Any]:
    """A card's name, or of a card what decides answers."""
    if isinstance(dataset, str):
        return dataset
    source = dataset.get("source")
    inner = {"source": _without_nms(source)} if isinstance(source, dict) else {}
    return _without_nms({**dataset, **inner})  # a short card has its source's keys beside its own


def _without_nms(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != "nms"}


def configuration_hash(parts: Any) -> str:  # noqa: ANN401 - plain data
    """First 16 hex digits of the sha256 of plain data, whatever the order of its keys."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_suites(home: Path) -> dict[str, Path]:
    """Files of the suites there are, by name; the user's own come first."""
    found: dict[str, Path] = {}
    for folder in content_folders("evals/suites", home):
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def load_suite(name: str, home: Path, changes: Sequence[str] = ()) -> Suite:
    """Read a suite.

    Args:
        name: Of a suite, or the path of a file.
        home: RAR_HOME; `evals/suites/` there may hold the user's own.
        changes: `key=value` each, with dots between keys: `ranker.prompt=rank@2`. Values are YAML.

    Raises:
        NotFoundError: There is no such suite.
        ConfigurationError: The file is not valid.
        InputError: A change is not.
    """
    suites = find_suites(home)
    path = Path(name) if name.endswith((".yaml", ".yml")) else suites.get(name)
    if path is None or not path.is_file():
        near = get_close_matches(name, suites, 1)
        meant = f"Is it '{near[0]}'? " if near else ""
        raise NotFoundError(
            f"There is no suite '{name}'.",
            f"{meant}There is: {', '.join(suites)}; or name a YAML file.",
        )
    try:
        data = yaml.safe_load(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"'{path}' cannot be read: {error}.", "Correct it.") from error
    if not isinstance(data, dict):
        raise ConfigurationError(f"'{path}' has no keys.", "Write name: …, dataset: …, and so on.")
    data.setdefault("name", path.stem)
    for change in changes:
        _change(data, change)
    try:
        return Suite.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        kinds = {get_args(part.model_fields["kind"].annotation)[0]: part for part in PROTOCOLS}
        steps = [str(step) for step in first["loc"] if step not in kinds]  # which is in no file
        where = ".".join(steps)
        kind: type[InputError | ConfigurationError] = InputError if changes else ConfigurationError
        if first["type"] == "extra_forbidden":
            forms: dict[str, type[BaseModel]] = {
                "memory": MemoryRecipe,
                "ranker": RankerRecipe,
                "crop": CropRecipe,
            }
            form = kinds.get(str(first["loc"][1])) if steps[0] == "protocol" else None
            keys = list((form or forms.get(steps[0], Suite)).model_fields)
            near = get_close_matches(steps[-1], keys, 1)
            meant = f"Is it '{near[0]}'? " if near else ""
            raise kind(
                f"Suite '{path}': there is no key '{where}'.", f"{meant}Keys: {', '.join(keys)}."
            ) from error
        raise kind(
            f"Suite '{path}': '{where}' = {first.get('input')!r} is not valid: {first['msg']}.",
            "Correct it; docs/evaluation.md has every key.",
        ) from error


def _change(data: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise InputError(f"'{change}' changes nothing.", "Write --set key=value.")
    for step in steps[:-1]:
        inner = data.get(step)
        data[step] = inner = dict(inner) if isinstance(inner, dict) else {}
        data = inner
    try:
        data[steps[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"'{change}' has no value that is YAML: {error}.", "Quote it.") from error
