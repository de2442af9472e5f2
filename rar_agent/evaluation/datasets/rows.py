"""Tables and Hugging Face data sets: a row an image."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import model_validator
from typing_extensions import override

from rar_agent.errors import ConfigurationError, DamagedDataError, InputError
from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.evaluation.datasets.listing import Listing, Source, absent, below, kept
from rar_agent.memory.readers import DatasetReader, Sample, TableReader
from rar_agent.settings import Settings
from rar_agent.types import Category, Failure


class TableSource(Source):
    """CSV, TSV, JSON lines or Parquet, as `rar_agent.memory.readers.TableReader` reads them."""

    loader: Literal["table"] = "table"
    train: str
    """Table of what is learnt from."""
    test: str
    """Table of what is tested on."""

    def missing(self, place: Path) -> list[str]:
        """The tables."""
        return absent(place, self.train, self.test)

    @override
    def read(self, place: Path, settings: Settings) -> Listing:
        """List the images; see `Source`. Bytes out of Parquet are written to files."""
        tables = {name: below(place, name) for name in (self.train, self.test)}
        train, test = (
            _part(name, TableReader(tables[name]).samples(), tables[name].parent, settings)
            for name in (self.train, self.test)
        )
        return _listing(train, test)


class HuggingFaceSource(Source):
    """A data set of the hub, or a folder or file that `datasets` can load."""

    loader: Literal["huggingface"] = "huggingface"
    dataset: str
    """Name on the hub, or a path."""
    train: str = "train"
    """Split that is learnt from."""
    test: str = "test"
    """Split that is tested on."""
    image_column: str | None = None
    """None: found."""
    label_column: str | None = None
    """None: found."""

    @model_validator(mode="after")
    def _two_splits(self) -> HuggingFaceSource:
        if self.train == self.test:
            raise ValueError("train and test are the same split")
        return self

    def missing(self, place: Path) -> list[str]:
        """The folder, where it is a path; a name on the hub is the download's matter."""
        return [] if self.found(place) or self._could_be_on_hub else [self.dataset]

    def found(self, place: Path) -> Path | None:
        """Where it is on disk."""
        path = below(place, self.dataset)
        return path if path.exists() else None

    @property
    def _could_be_on_hub(self) -> bool:
        """Whether it is `owner/name`."""
        return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", self.dataset))

    @override
    def read(self, place: Path, settings: Settings) -> Listing:
        """List the images; see `Source`. Bytes out of the data set are written to files."""
        found = self.found(place) or self.dataset
        columns = self.image_column, self.label_column
        train, test = (
            _part(
                split,
                DatasetReader(found, split, *columns, download=settings.download).samples(),
                place,
                settings,
            )
            for split in (self.train, self.test)
        )
        return _listing(train, test)


Part = list[tuple[str, Path, Category]]


def _part(name: str, rows: Iterable[Sample | Failure], root: Path, settings: Settings) -> Part:
    """Key, file and category of each row with an image.

    Raises:
        DamagedDataError: A row cannot be read.
    """
    found: Part = []
    for number, row in enumerate(rows):
        if isinstance(row, Failure):
            raise DamagedDataError(f"{row.source}: {row.error}", "Correct it, or take it out.")
        if isinstance(row.image, bytes):
            found.append((f"{name}[{number}]", _written(row.image, settings), row.category))
        elif isinstance(row.image, Path):
            file = row.image.absolute()
            inside = file.is_relative_to(root.absolute())
            key = file.relative_to(root.absolute()) if inside else file
            found.append((key.as_posix(), file, row.category))
        elif row.image is not None:
            raise InputError(
                f"{row.source} is not a file: an evaluation reads files only.",
                "Get the images first, and name their paths.",
            )
    return found


def _written(data: bytes, settings: Settings) -> Path:
    """A file with these bytes, named by their hash."""
    digest = hashlib.sha256(data).hexdigest()
    file = kept(settings) / digest[:2] / digest
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        half = file.with_name(f"{digest}.{os.getpid()}")
        try:
            half.write_bytes(data)
            half.replace(file)
        except OSError as error:
            raise ConfigurationError(
                f"Images cannot be written to '{kept(settings)}': {error}.",
                "Set RAR_HOME to a folder with room.",
            ) from error
    return file


def _listing(train: Part, test: Part) -> Listing:
    """Categories are in the order of their names."""
    known: dict[str, Category] = {}
    for _, _, category in (*train, *test):
        known.setdefault(category.name, category)
    order = {name: number for number, name in enumerate(sorted(known))}

    def images(part: Part) -> Iterator[LabelledImage]:
        for key, file, category in part:
            yield LabelledImage(key, file, order[category.name])

    return Listing([known[name] for name in order], list(images(train)), list(images(test)))
