"""A Hugging Face data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from rar_agent.memory.readers.dataset_loading import load_split, require_loadable
from rar_agent.memory.readers.dataset_rows import OpenedDataset, open_columns
from rar_agent.memory.readers.identity import identity_of, image_state
from rar_agent.memory.readers.sample import Sample
from rar_agent.types import Failure


@dataclass(frozen=True)
class DatasetReader:
    """Images and labels from a Hugging Face data set.

    Images are not decoded by that library but come as bytes or paths, to be checked like all
    others. Names of class labels have their underscores made spaces. No code of a data set is run.

    Attributes:
        dataset: A `datasets.Dataset` or `IterableDataset`, a dict of splits of them, a folder that
            `save_to_disk` wrote, a folder or file that `load_dataset` can read (which writes to
            its cache), or the name of one on the hub.
        split: Which split; may be left out where there is just one.
        image_column: None: the only column of Image features, or the one of a usual name.
        label_column: None: the only column of ClassLabel features, or else of text, or the one
            of a usual name (`category`, `label`, `name`, `class`).
        download: Whether the hub may be asked; without it nothing is asked of anyone.

    Raises:
        ConfigurationError: The library is not installed, or the data set is not on disk and
            `download` is off.
        InputError: It is no data set. When read: it cannot be loaded, or its split or columns
            have to be named.
    """

    dataset: object
    split: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    download: bool = False

    def __post_init__(self) -> None:
        require_loadable(self.dataset, self.download)

    @cached_property
    def identity(self) -> str:
        """Hash of the library's own fingerprint; an IterableDataset has none, and is read for it.

        A fingerprint is random where the library could not hash a function given to `map`.
        """
        opened = self._opened
        names = [category.name for category in opened.categories or ()]
        if opened.fingerprint:
            return identity_of("dataset", opened.fingerprint, *opened.columns, *names)
        read = hashlib.sha256()
        for sample in self.samples():
            if isinstance(sample, Sample):
                parts = [sample.category.name, image_state(sample.image)]
            else:
                parts = [sample.source, sample.error]
            read.update(identity_of("row", *parts).encode())
        return identity_of("iterable", read.hexdigest(), *opened.columns, *names)

    @property
    def count(self) -> int | None:
        """Number of rows; None for an IterableDataset."""
        return len(self._opened.rows) if self._opened.indexed else None

    def samples(self) -> Iterator[Sample | Failure]:
        """One sample or failure a row."""
        return self._opened.samples()

    @cached_property
    def _opened(self) -> OpenedDataset:
        data, name = load_split(self.dataset, self.split, self.download)
        return open_columns(data, name, self.image_column, self.label_column)
