"""Reading an exported memory: everything is checked before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import from_json

from rar_agent.encoders import FloatArray
from rar_agent.errors import DamagedDataError, NotFoundError
from rar_agent.memory.exchange.export import described
from rar_agent.memory.exchange.layout import (
    CATEGORIES,
    DESCRIPTION,
    ENTRIES,
    VECTORS,
    Exported,
    categories_schema,
    entries_schema,
)
from rar_agent.memory.exchange.parts import PART, library
from rar_agent.memory.format.opened import read_regular, reason
from rar_agent.types import Category

_LARGEST_DESCRIPTION = 10_000_000  # bytes of memory.json
_AGAIN = "Export the memory again, or copy the folder again."


@dataclass(frozen=True)
class ExportedMemory:
    """An exported memory whose files are what its memory.json says.

    Attributes:
        folder: Where it is.
        says: memory.json.
        vectors: (n, d) float32, memory-mapped; not checked to be finite or of length 1.
    """

    folder: Path
    says: Exported
    vectors: FloatArray

    def categories(self) -> Iterator[Category]:
        """All categories, each valid; not checked against each other.

        Raises:
            DamagedDataError: A row is no category.
        """
        for rows in _batches(self.folder / CATEGORIES, categories_schema()):
            for row in rows:
                with _checked(f"'{self.folder / CATEGORIES}' at the category '{row['name'][:60]}'"):
                    metadata = from_json(row["metadata"])
                    category = Category.model_validate({**row, "metadata": metadata})
                yield category

    def entries(self) -> Iterator[list[dict[str, Any]]]:
        """Rows of entries.parquet, up to `PART` at a time; not checked one by one.

        Raises:
            DamagedDataError: A column has holes.
        """
        yield from _batches(self.folder / ENTRIES, entries_schema())


def open_exported(folder: Path) -> ExportedMemory:
    """Open an exported memory after checking hashes, sizes, schemas and counts.

    Raises:
        NotFoundError: There is none in the folder.
        DamagedDataError: It is incomplete, damaged, or of a version that is not known here.
        ConfigurationError: pyarrow is not installed.
    """
    library("pyarrow.parquet")
    says = _description(folder)
    for name, wanted in says.files.items():
        with _checked(f"'{folder / name}'"):
            # Caches keep files as links; what they lead to has to be a regular file.
            if described((folder / name).resolve()) != wanted:
                raise ValueError("it has changed")
    _check_table(folder / CATEGORIES, categories_schema(), says.categories)
    _check_table(folder / ENTRIES, entries_schema(), says.entries)
    return ExportedMemory(folder, says, _vectors(folder / VECTORS, says))


def _description(folder: Path) -> Exported:
    path = folder / DESCRIPTION
    if not path.exists():
        raise NotFoundError(
            f"There is no exported memory in '{folder}': it has no {DESCRIPTION}.",
            "Give a folder that rar-agent exported a memory to.",
        )
    with _checked(f"'{path}'"):
        says = Exported.model_validate_json(read_regular(path.resolve(), _LARGEST_DESCRIPTION))
        if set(says.files) != {CATEGORIES, ENTRIES, VECTORS}:
            raise ValueError(f"it names the files {sorted(says.files)}")
    return says


def _check_table(path: Path, schema: Any, count: int) -> None:  # noqa: ANN401
    with _checked(f"'{path}'"), library("pyarrow.parquet").ParquetFile(path) as file:
        found = file.schema_arrow
        if [(f.name, f.type) for f in found] != [(f.name, f.type) for f in schema]:
            raise ValueError(
                f"its columns are {', '.join(f'{f.name} ({f.type})' for f in found)}; expected "
                f"{', '.join(f'{f.name} ({f.type})' for f in schema)}"
            )
        if file.metadata.num_rows != count:
            raise ValueError(f"it has {file.metadata.num_rows} rows, not {count}")


def _batches(path: Path, schema: Any) -> Iterator[list[dict[str, Any]]]:  # noqa: ANN401
    with library("pyarrow.parquet").ParquetFile(path) as file:
        batches = file.iter_batches(batch_size=PART)
        while True:
            with _checked(f"'{path}'"):
                batch = next(batches, None)
                if batch is None:
                    return
                for field in schema:
                    if not field.nullable and batch.column(field.name).null_count:
                        raise ValueError(f"the column '{field.name}' has holes")
                rows = batch.to_pylist()
            yield rows


def _vectors(path: Path, says: Exported) -> FloatArray:
    shape = (says.entries, says.dimension)
    with _checked(f"'{path}'"):
        # A file cannot be mapped where it has no rows.
        found = np.load(path, mmap_mode="r" if says.entries else None, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise ValueError("it is no array")
        if found.shape != shape or found.dtype != np.dtype("<f4") or not found.flags.c_contiguous:
            raise ValueError(f"it has {found.dtype} of shape {found.shape}; expected <f4 {shape}")
    return found


@contextmanager
def _checked(what: str) -> Iterator[None]:
    """Turn what parsers raise into one typed error."""
    try:
        yield
    except Exception as error:  # pyarrow and numpy raise more kinds than they say
        raise DamagedDataError(
            f"{reason(what)} cannot be used: {reason(error)}.", _AGAIN
        ) from error
