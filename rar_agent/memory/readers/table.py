"""A table: a row an image."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rar_agent.errors import InputError
from rar_agent.images.policy import printable
from rar_agent.memory.readers.categories import CategoryBook
from rar_agent.memory.readers.cell import image_from, source_of
from rar_agent.memory.readers.fields import (
    CATEGORY_COLUMNS,
    IMAGE_COLUMNS,
    category_from,
    pick,
    text,
)
from rar_agent.memory.readers.identity import content_hash, identity_of
from rar_agent.memory.readers.place import Cell
from rar_agent.memory.readers.rows import TABLES, Row, read_rows
from rar_agent.memory.readers.sample import Sample, failed
from rar_agent.types import Category, Failure


@dataclass(frozen=True)
class TableReader:
    """Images and categories from CSV, TSV, JSON lines or Parquet, by suffix.

    Columns, in any case of letters: the image (`image`, `path`, `file_name` or `url`: a path, from
    the table's folder if relative, an https URL, or in Parquet the encoded bytes), the category
    (`category`, `label`, `name` or `class`), and, if wanted, `aliases` (a list, or parted by `;`),
    `description`, `parent`, `metadata` (an object, or one written as JSON). Other columns go to the
    metadata. A row without an image gives its category by name.

    What rows say of the same category adds up, wherever they stand: each detail comes from the
    first row that gives it. A row with another parent or description than the first is a failure,
    and its image is not learnt. The table is read twice; categories are held, rows are not.

    Attributes:
        path: The table; made absolute.

    Raises:
        InputError: It is no file, or no table of a known format. When read: it has no rows, or
            no column for the category.
        ConfigurationError: When read: it is Parquet and pyarrow is not installed.
    """

    path: Path

    def __post_init__(self) -> None:
        place = printable(str(self.path))
        if self.path.suffix.lower() not in TABLES:
            raise InputError(
                f"'{place}' is no table that is read.", f"Read are {', '.join(TABLES)}."
            )
        if not self.path.is_file():
            raise InputError(f"'{place}' is not a file.", "Give the path of a table.")
        object.__setattr__(self, "path", self.path.resolve())

    @cached_property
    def identity(self) -> str:
        """Hash of the file's bytes and of its folder; not of the images that it names."""
        folder = str(self.path.parent)  # the same lines name other images elsewhere
        return identity_of("table", self.path.suffix.lower(), content_hash(self.path), folder)

    @property
    def count(self) -> int:
        """Number of rows with an image and without an error."""
        return self._survey[1]

    def samples(self) -> Iterator[Sample | Failure]:
        """One sample or failure a row."""
        return self._read()

    def placed(self) -> Iterator[Sample | Failure]:
        """The same, with the places of images in a Parquet file and not their bytes."""
        return self._read(IMAGE_COLUMNS)

    def _read(self, placed: Collection[str] = ()) -> Iterator[Sample | Failure]:
        book, _ = self._survey
        for row in read_rows(self.path, placed):
            yield row if isinstance(row, Failure) else self._sample(row, book)

    @cached_property
    def _survey(self) -> tuple[CategoryBook, int]:
        """All that the table says of each category, and the number of images."""
        book, count, columns, found = CategoryBook(), 0, dict[str, None](), False
        empty = True
        for row in read_rows(self.path, IMAGE_COLUMNS):
            empty = False
            if isinstance(row, Failure):
                continue
            found = found or pick(row.values, CATEGORY_COLUMNS) is not None
            if not found:
                columns |= dict.fromkeys(row.values)
            sample = self._sample(row, book)
            count += isinstance(sample, Sample) and sample.has_image
        place = printable(str(self.path))
        if empty:
            raise InputError(f"'{place}' has no rows.", "Write a header and a row an image.")
        if columns and not found:
            raise InputError(
                f"'{place}' has no column for the category; its columns are "
                f"{', '.join(map(printable, columns))}.",
                f"Call the one with the category {' or '.join(CATEGORY_COLUMNS)}.",
            )
        return book, count

    def _sample(self, row: Row, book: CategoryBook) -> Sample | Failure:
        try:
            in_column = pick(row.values, IMAGE_COLUMNS)
            value = row.values[in_column] if in_column else None
            place = value if isinstance(value, Cell) else None
            image = None if place else image_from(value, self.path.parent)
            category = book.add(self._category(row, in_column))
        except InputError as error:
            return failed(row.where, error)
        return Sample(category, image, source_of(image, row.where), place=place)

    def _category(self, row: Row, image_column: str | None) -> Category:
        column = pick(row.values, CATEGORY_COLUMNS)
        if column is None:
            raise InputError("The row has no category.", "Name the category of each row.")
        value = row.values[column]
        if isinstance(value, int):  # of a class whose names are elsewhere: no name to learn
            raise InputError(f"'{column}' is the number {value}.", "Write the category's name.")
        apart = (column, image_column)
        return category_from(row.values, text(value, column), row.where, apart)
