"""A list of names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rar_agent.errors import InputError
from rar_agent.images.policy import printable
from rar_agent.memory.readers.annotations import (
    AnnotationsReader,
    is_annotations,
    read_categories,
)
from rar_agent.memory.readers.categories import named, refuse_repeats
from rar_agent.memory.readers.identity import identity_of
from rar_agent.memory.readers.sample import Reader, Sample
from rar_agent.types import Category


@dataclass(frozen=True)
class NamesReader:
    """Categories by name alone, from a text file: see `read_names`.

    Attributes:
        path: The text file.

    Raises:
        InputError: It cannot be read, is empty, or repeats a name.
    """

    path: Path

    def __post_init__(self) -> None:
        _ = self._lines

    @cached_property
    def identity(self) -> str:
        """Hash of the names."""
        return identity_of("names", *(category.name for _, category in self._lines))

    @property
    def count(self) -> int:
        """There are no images."""
        return 0

    def samples(self) -> Iterator[Sample]:
        """One sample a name."""
        place = printable(str(self.path.absolute()))
        for number, category in self._lines:
            yield Sample(category, None, f"{place}:{number}")

    @cached_property
    def _lines(self) -> list[tuple[int, Category]]:
        return _read(self.path)


def read_names(file: Path) -> list[Category]:
    """Categories from a text file: a name a line; empty lines and lines from # on are skipped.

    Of an annotation file they are those that it lists; see `read_categories`.

    Raises:
        InputError: It cannot be read, is empty, or repeats a name.
        ConfigurationError: It is a large annotation file, and ijson is not installed.
    """
    if is_annotations(file):
        return read_categories(file)
    return [category for _, category in _read(file)]


def names_reader(file: Path, tree: Path | None = None) -> Reader:
    """The reader of a file of names, whether it is a list or an annotation file, by its content.

    Args:
        file: See `NamesReader` and `AnnotationsReader`.
        tree: V3Det's category tree, which goes with an annotation file.

    Raises:
        InputError: It cannot be read, or there is a tree and no annotation file.
        ConfigurationError: It is a large annotation file, and ijson is not installed.
    """
    if is_annotations(file):
        return AnnotationsReader(file, tree)
    if tree is not None:
        raise InputError(
            f"'{tree}' places categories by their ids, and '{file}' is a list without any.",
            "Give the annotation file, such as v3det_2023_v1_val.json, as --names.",
        )
    return NamesReader(file)


def _read(file: Path) -> list[tuple[int, Category]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"'{file}' cannot be read: {error}.", "Give the path of a UTF-8 text file."
        ) from error
    if lines and lines[0].lstrip().startswith(("[", "{")) and _is_json(lines):
        raise InputError(
            f"'{file}' is JSON that lists no categories and no names.",
            "Write one name a line, or give a file in COCO's format.",
        )
    found = [
        (number, named(line, str(file)))
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not found:
        raise InputError(f"'{file}' has no names.", "Write one name a line.")
    numbers, categories = zip(*found, strict=True)
    refuse_repeats((category.name for category in categories), str(file), numbers)
    return found


def _is_json(lines: list[str]) -> bool:
    try:
        json.loads("\n".join(lines))
    except (ValueError, RecursionError):
        return False
    return True
