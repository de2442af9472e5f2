"""The rows of an opened Hugging Face data set as samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rar_agent.errors import InputError
from rar_agent.images.policy import printable
from rar_agent.memory.readers.categories import named, refuse_repeats
from rar_agent.memory.readers.cell import image_from, source_of
from rar_agent.memory.readers.dataset_columns import find_image_column, find_label_column
from rar_agent.memory.readers.fields import text
from rar_agent.memory.readers.sample import Sample, failed
from rar_agent.types import Category, Failure


@dataclass(frozen=True)
class OpenedDataset:
    """One split, with the two columns that are read.

    Attributes:
        name: For messages and sources.
        rows: A `datasets.Dataset` or `IterableDataset` that leaves images encoded.
        indexed: Whether it is the former, whose rows are read one by one.
        fingerprint: The library's own, of the data as given; empty where it has none.
        columns: The images' and the labels'.
        keys: Names of the class labels as they are; None where labels are text.
        categories: Of the class labels, by number.
    """

    name: str
    rows: Any
    indexed: bool
    fingerprint: str
    columns: tuple[str, str]
    keys: tuple[str, ...] | None
    categories: tuple[Category, ...] | None

    def samples(self) -> Iterator[Sample | Failure]:
        """One sample or failure a row; of rows that are not indexed, the last may be a failure."""
        return self._by_index() if self.indexed else self._by_iteration()

    def _by_index(self) -> Iterator[Sample | Failure]:
        for position in range(len(self.rows)):
            where = f"{self.name}[{position}]"
            try:
                row = self.rows[position]
            except Exception as error:  # a damaged file, and whatever the library makes of it
                yield _damaged(where, "The row cannot be read", error)
            else:
                yield self._sample(row, where)

    def _by_iteration(self) -> Iterator[Sample | Failure]:
        rows = iter(self.rows)
        position = 0
        while True:
            where = f"{self.name}[{position}]"
            try:
                row = next(rows)
            except StopIteration:
                return
            except Exception as error:  # as above; and an iterator that raised has ended
                yield _damaged(where, "The data set cannot be read from here on", error)
                return
            yield self._sample(row, where)
            position += 1

    def _sample(self, row: Mapping[str, object], where: str) -> Sample | Failure:
        try:
            image = image_from(row.get(self.columns[0]), Path.cwd())
            if image is None:
                raise InputError("The row has no image.", "Leave it out, or add its image.")
            category, key = self._category(row.get(self.columns[1]))
        except InputError as error:
            return failed(where, error)
        return Sample(category, image, source_of(image, where), key)

    def _category(self, label: object) -> tuple[Category, str]:
        if self.categories is None or self.keys is None:
            if isinstance(label, int):
                raise InputError(
                    f"The label is the number {label}.",
                    "Give the numbers names: dataset.cast_column(column, ClassLabel(names=[…])).",
                )
            name = text(label, self.columns[1])
            if not name:
                raise InputError("The row has no label.", "Label it, or leave it out.")
            return named(name, self.name), ""
        if not isinstance(label, int) or not 0 <= label < len(self.keys):
            raise InputError(
                f"The row has the label {label}, which is none of the {len(self.keys)} classes.",
                "Label it, or leave it out.",
            )
        return self.categories[label], self.keys[label]


def open_columns(
    data: Any,  # noqa: ANN401 - the library has no types
    name: str,
    image_column: str | None,
    label_column: str | None,
) -> OpenedDataset:
    """Find the columns of a data set and prepare them for reading.

    Args:
        data: A `datasets.Dataset` or `IterableDataset`.
        name: For messages.
        image_column: None: find it.
        label_column: None: find it.

    Raises:
        InputError: A column is not there or has to be named, or a class label cannot name a
            category.
    """
    import datasets

    features = data.features
    image = find_image_column(features, image_column, name)
    label = find_label_column(features, label_column, image, name)
    keys = categories = None
    rows = data.with_format(None)
    if features is not None:
        rows = rows.select_columns([image, label])
        if isinstance(features[image], datasets.Image):
            rows = rows.cast_column(image, datasets.Image(decode=False))
        if isinstance(features[label], datasets.ClassLabel):
            keys = tuple(features[label].names)
            categories = tuple(named(key.replace("_", " "), name) for key in keys)
            refuse_repeats((category.name for category in categories), name)
    indexed = isinstance(data, datasets.Dataset)
    fingerprint = str(data._fingerprint) if indexed else ""
    return OpenedDataset(name, rows, indexed, fingerprint, (image, label), keys, categories)


def _damaged(where: str, what: str, error: Exception) -> Failure:
    reason = printable(f"{what}: {type(error).__name__}: {error}.")
    return failed(where, InputError(reason, "Get the data set again, or mend it."))
