"""A data set's card: what it is, where it is from, how it is read, what it must contain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rar_agent.content import content_folders
from rar_agent.errors import ConfigurationError, InputError, NotFoundError
from rar_agent.evaluation.datasets.boxes import CocoSource
from rar_agent.evaluation.datasets.coop import CoopSource
from rar_agent.evaluation.datasets.folder import FolderSource
from rar_agent.evaluation.datasets.icons import IconSource
from rar_agent.evaluation.datasets.official import CubSource, DogsSource, RafSource
from rar_agent.evaluation.datasets.rows import HuggingFaceSource, TableSource
from rar_agent.evaluation.datasets.vision import Download, TorchvisionSource

AnySource = Annotated[
    FolderSource
    | TableSource
    | HuggingFaceSource
    | TorchvisionSource
    | CoopSource
    | CocoSource
    | CubSource
    | DogsSource
    | RafSource
    | IconSource,
    Field(discriminator="loader"),
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Piece(_Part):
    """Something that the user has to fetch."""

    what: str
    """Such as `images`."""
    url: str
    """From where."""
    size: str = ""
    """How large; empty: not known."""
    put: str
    """What is there once it is in place, below the data set's folder."""


class Counts(_Part):
    """What has to be there; None: not known."""

    categories: int | None = None
    train: int | None = None
    validation: int | None = None
    test: int | None = None


class Card(_Part):
    """What is known of a data set."""

    name: str
    """As its file."""
    title: str = ""
    """For people."""
    domain: str = "categories"
    """What kind of categories these are, for prompts: `bird species`."""
    also: tuple[str, ...] = ()
    """Other names under which a suite may ask for it."""
    source: AnySource
    """How it is read."""
    folder: str = ""
    """Its own folder, below the folder of data sets; empty: its name."""
    fetch: tuple[Piece, ...] = ()
    """What the user has to fetch, where it is not there."""
    download: Download | None = None
    """What torchvision can fetch, where RAR_DOWNLOAD allows it."""
    licence: str = ""
    """Under which terms; said wherever something has to be fetched."""
    counts: Counts = Counts()
    """Asserted when it is loaded."""
    classes: str = ""
    """Checksum of the categories' names in their order (see `digest`), asserted when it is loaded;
    empty: it is not known."""
    marks: str = ""
    """Two hex digits of each name's sha256, with spaces anywhere: which names differ."""
    renames: dict[str, str] = {}
    """Names that are changed: from the published one, or from the name of its folder."""
    templates: tuple[str, ...] = ("a photo of a {}.",)
    """What names are put into for a text encoder, with `{}`."""
    caution: str = ""
    """What has to be said beside every figure."""
    rare: int = Field(default=0, ge=0)
    """Categories with at most this many images to learn from count as rare; 0: none does."""

    @field_validator("templates")
    @classmethod
    def _have_a_gap(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        if not templates or any("{}" not in template for template in templates):
            raise ValueError("a template has no {}")
        return templates

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:  # noqa: ANN401 - plain YAML
        """`images: FOLDER`, `dataset: NAME` or `train: TABLE` and `test: TABLE` make a source."""
        if not isinstance(data, dict) or "source" in data:
            return data
        own = {key: value for key, value in data.items() if key in cls.model_fields}
        source = {key: value for key, value in data.items() if key not in own}
        if "loader" not in source:
            kinds = {"images": "folder", "dataset": "huggingface", "train": "table"}
            source["loader"] = next((kinds[key] for key in kinds if key in source), "folder")
        return {**own, "source": source} if len(source) > 1 else data


def find_cards(home: Path) -> dict[str, Path]:
    """Files of the cards there are, by name; the user's own come first."""
    found: dict[str, Path] = {}
    for folder in content_folders("evals/datasets", home):
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def load_card(spec: str | dict[str, Any], home: Path) -> Card:
    """A card, by its name or another of its names, by its file, or as plain data.

    Paths in plain data are relative to the working directory.

    Raises:
        NotFoundError: There is none of that name.
        ConfigurationError: Its file is not valid.
        InputError: The plain data is not.
    """
    if isinstance(spec, dict):
        named = Path(str(spec.get("images") or spec.get("dataset") or "own")).name
        return _card({"name": named, "folder": str(Path.cwd()), **spec}, None)
    if spec.endswith((".yaml", ".yml")):
        return read_card(Path(spec))
    cards = find_cards(home)
    if spec in cards:
        return read_card(cards[spec])
    for path in cards.values():
        card = read_card(path)
        if spec in card.also:
            return card
    raise NotFoundError(
        f"There is no data set '{spec}'.",
        f"There is: {', '.join(cards)}; or give a folder: dataset: {{images: FOLDER}}.",
    )


def read_card(path: Path) -> Card:
    """A card from its file.

    Raises:
        NotFoundError: There is no such file.
        ConfigurationError: It is not valid.
    """
    try:
        data = yaml.safe_load(path.read_text("utf-8-sig"))
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no file '{path}'.", "Name a YAML file.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"'{path}' cannot be read: {error}.", "Correct it.") from error
    if not isinstance(data, dict):
        raise ConfigurationError(f"'{path}' has no keys.", "Write title: …, source: …, and so on.")
    return _card({"name": path.stem, **data}, path)


def _card(data: dict[str, Any], path: Path | None) -> Card:
    try:
        return Card.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"]) or "the card"
        kind = ConfigurationError if path else InputError
        raise kind(
            f"Data set '{path or data['name']}': {where} is not valid: {first['msg']}.",
            "Correct it; docs/evaluation.md has every key.",
        ) from error
