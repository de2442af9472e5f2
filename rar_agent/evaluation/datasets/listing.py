"""What a source finds on disk, before it is checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.settings import Settings
from rar_agent.types import Category


@dataclass(frozen=True)
class Listing:
    """Images of categories, as published.

    Attributes:
        categories: With the names that were published.
        train: To learn from, in the published order.
        test: To test on.
        validation: How many images are neither, because the split keeps them for validation.
        folders: What each category is called on disk, where that is not its name.
        rare: Positions of categories that are published as rare.
        annotations: Of boxes, as `DataSet.annotations`, whose categories are in the same order.
    """

    categories: Sequence[Category]
    train: Sequence[LabelledImage]
    test: Sequence[LabelledImage]
    validation: int = 0
    folders: Sequence[str] = ()
    rare: frozenset[int] = frozenset()
    annotations: Mapping[str, Any] = field(default_factory=dict)


class Source(BaseModel, ABC):
    """How a data set lies on disk, and which of its images are for training and which for testing.

    A source is thin: what finds out what is damaged comes after it, in `check`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @abstractmethod
    def missing(self, place: Path) -> list[str]:
        """What is not there, as paths below `place` or what to install; empty: it can be read."""

    @abstractmethod
    def read(self, place: Path, settings: Settings) -> Listing:
        """List the images.

        Raises:
            InputError: The files are not what they should be.
            DamagedDataError: They are damaged.
            ConfigurationError: A library is not installed.
        """


def below(place: Path, path: str) -> Path:
    """A path below a place, or where it leads if it is absolute."""
    return place / Path(path).expanduser()


def absent(place: Path, *paths: str) -> list[str]:
    """Those of the paths below a place where there is nothing."""
    return [path for path in paths if not below(place, path).exists()]


def kept(settings: Settings) -> Path:
    """Folder of images that had to be written: drawn ones, ones out of Parquet."""
    return settings.home.expanduser() / "evals" / "images"
