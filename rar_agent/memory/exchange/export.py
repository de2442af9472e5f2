"""Exporting a memory as a folder of files that other programs read: Parquet, NumPy, JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rar_agent
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.memory.exchange.layout import (
    CATEGORIES,
    DESCRIPTION,
    ENTRIES,
    VECTORS,
    Exported,
    ExportedFile,
    categories_schema,
    entries_schema,
)
from rar_agent.memory.exchange.parts import PART, library, live_parts
from rar_agent.memory.format.manifest import MODALITIES
from rar_agent.memory.format.opened import open_regular
from rar_agent.memory.format.segment import Part
from rar_agent.memory.memory import Memory
from rar_agent.memory.teaching.learn import Progress
from rar_agent.types import Category


def export_memory(memory: Memory, folder: Path, progress: Progress | None = None) -> Path:
    """Write all that a memory knows to a folder; see `layout` for the files.

    What was fitted is left out: `import_memory` chooses the scoring anew. Memory use does not grow
    with the memory; memory.json is written last, so a folder without it is incomplete. What fails
    leaves no files.

    Args:
        memory: An opened memory.
        folder: Made where it is not there.
        progress: Told after each part how many entries are written, and of how many.

    Returns:
        The folder.

    Raises:
        InputError: The folder is not empty, or is no folder.
        ConfigurationError: pyarrow is not installed, or the folder cannot be written.
    """
    library("pyarrow.parquet")
    folder = Path(folder)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(
                f"'{folder}' {'is not empty' if folder.is_dir() else 'is no folder'}.",
                "Give an empty folder, or one that is not there yet.",
            )
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _write_categories(memory, folder)
            _write_entries(memory, folder, progress)
            description = _describe(memory, folder).model_dump_json(indent=1)
            (folder / DESCRIPTION).write_text(description, encoding="utf-8")
        except BaseException:
            for name in (CATEGORIES, ENTRIES, VECTORS, DESCRIPTION):
                (folder / name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(
            f"'{folder}' cannot be written: {error.strerror or error}.",
            "Make room, or give a folder that can be written.",
        ) from error
    return folder


def _write_categories(memory: Memory, folder: Path) -> None:
    pa, schema = library("pyarrow"), categories_schema()
    with library("pyarrow.parquet").ParquetWriter(folder / CATEGORIES, schema) as file:
        waiting = iter(memory.categories)
        while part := list(islice(waiting, PART)):
            file.write_batch(pa.RecordBatch.from_pylist([_row(c) for c in part], schema=schema))


def _row(category: Category) -> dict[str, Any]:
    row = category.model_dump(mode="json")
    return {**row, "metadata": json.dumps(row["metadata"], ensure_ascii=False)}


def _write_entries(memory: Memory, folder: Path, progress: Progress | None) -> None:
    pa, schema = library("pyarrow"), entries_schema()
    shape, done = (len(memory.entries), memory.manifest.dimension), 0
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with (
        library("pyarrow.parquet").ParquetWriter(folder / ENTRIES, schema) as table,
        (folder / VECTORS).open("wb") as vectors,
    ):
        np.lib.format.write_array_header_1_0(vectors, header)
        for part, columns in live_parts(memory):
            rows = list(_rows(memory, part, columns))
            table.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
            vectors.write(part.vectors.astype("<f4").tobytes())
            done += len(rows)
            if progress:
                progress(done, shape[0])


def _rows(memory: Memory, part: Part, columns: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
    fields = zip(part.entries, columns.tolist(), part.sources, part.thumbnails, strict=True)
    for entry, column, source, thumbnail in fields:
        yield {
            "id": int(entry["id"]),
            "category": memory.categories[column].name,
            "modality": MODALITIES[int(entry["modality"])],
            "source": source.decode(errors="replace"),
            "content": bytes(entry["content"]).hex(),
            "length": float(entry["length"]),
            "bias": float(entry["bias"]),
            "thumbnail": thumbnail or None,
        }


def _describe(memory: Memory, folder: Path) -> Exported:
    manifest = memory.manifest
    return Exported(
        created_by=f"rar-agent {rar_agent.__version__}",
        name=manifest.name,
        domain=manifest.domain,
        encoder=manifest.encoder,
        dimension=manifest.dimension,
        thumbnails=manifest.thumbnails,
        fixed=manifest.fixed,
        prior=manifest.prior,
        categories=len(memory.categories),
        entries=len(memory.entries),
        files={
            CATEGORIES: described(folder / CATEGORIES),
            ENTRIES: described(folder / ENTRIES),
            VECTORS: described(folder / VECTORS),
        },
    )


def described(path: Path) -> ExportedFile:
    """Size and sha256 of a regular file.

    Raises:
        OSError: There is none, or it cannot be read.
    """
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return ExportedFile(sha256=digest, size=file.tell())
