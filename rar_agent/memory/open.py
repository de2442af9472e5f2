"""Opening a memory: manifest, structure, sizes, then the pieces that search needs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from rar_agent.errors import ConfigurationError, DamagedDataError
from rar_agent.memory.fit import Fit
from rar_agent.memory.generation import read_manifest, verify_files
from rar_agent.memory.location import CURRENT, memory_folder
from rar_agent.memory.manifest import MODALITIES, Manifest
from rar_agent.memory.memory import Entries, Memory
from rar_agent.memory.score import Rows, Scorer
from rar_agent.memory.segment import map_array, open_segment
from rar_agent.types import Category


def open_memory(home: Path, name: str) -> Memory:
    """Open the valid generation of a memory for reading.

    A ready memory (`imagenet-1k`) is made from the builtin encoder's classifier when it is first
    asked for.

    Raises:
        NotFoundError: There is none of that name.
        ConfigurationError: Its build was interrupted, or a ready memory's weights are missing.
        DamagedDataError: It is damaged or of another format.
    """
    from rar_agent.memory.ready import READY, make_ready

    folder = memory_folder(home, name)
    if name in READY and not (folder / CURRENT).exists():
        make_ready(home, name)
    memory = open_generation(folder, read_manifest(folder))
    if memory.manifest.state == "building":
        raise ConfigurationError(
            f"Memory '{name}' is incomplete: its build was interrupted after "
            f"{len(memory.entries.ids)} entries.",
            "Run the same rar-agent memory create again; it goes on where it stopped.",
        )
    return memory


def verify_memory(home: Path, name: str) -> list[str]:
    """Hash every file of a memory, without opening it.

    Returns:
        What is wrong, one sentence each.

    Raises:
        NotFoundError: There is none of that name.
        DamagedDataError: CURRENT or the manifest is damaged.
    """
    folder = memory_folder(home, name)
    return verify_files(folder, read_manifest(folder))


def open_generation(folder: Path, manifest: Manifest) -> Memory:
    """Open one generation, complete or not.

    Raises:
        DamagedDataError: A file is missing, has another size or does not parse.
    """
    ids, categories = read_categories(folder, manifest)
    entries = _entries(folder, manifest, ids)
    fit = _fit(folder, manifest)
    fit_ids = fit.categories.astype(np.int64) if fit else np.empty(0, np.int64)
    columns = _columns(ids, fit_ids, manifest)
    scorer = Scorer(
        count=len(categories),
        text_scale=manifest.encoder.text_scale,
        text=_rows(entries, "text", len(categories)),
        head=_rows(entries, "head", len(categories)),
        fit=fit,
        fit_columns=columns,
    )
    return Memory(folder, manifest, categories, entries, scorer)


def read_categories(folder: Path, manifest: Manifest) -> tuple[np.ndarray, list[Category]]:
    """Ids, ascending, and categories of a generation.

    Raises:
        DamagedDataError: The file is missing or does not parse.
    """
    data = map_array(folder, manifest.categories, np.dtype("u1"), manifest.categories.size)
    try:
        rows = [json.loads(line) for line in data.tobytes().splitlines()]
        ids = np.array([row.pop("id") for row in rows], np.int64)
        categories = [Category.model_validate(row) for row in rows]
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise DamagedDataError(
            f"The categories of memory '{manifest.name}' are damaged: {error}.",
            f"Run: rar-agent memory verify {manifest.name}, which says which file.",
        ) from error
    if len(ids) != manifest.category_count or (np.diff(ids) <= 0).any():
        raise DamagedDataError(
            f"Memory '{manifest.name}' has {len(ids)} categories; its manifest says "
            f"{manifest.category_count}.",
            f"Run: rar-agent memory verify {manifest.name}, which says which file.",
        )
    return ids, categories


def _entries(folder: Path, manifest: Manifest, category_ids: np.ndarray) -> Entries:
    segments = tuple(open_segment(folder, ref, manifest.dimension) for ref in manifest.segments)
    removed = _tombstones(folder, manifest)
    empty = np.empty((0, manifest.dimension), np.float32)
    kept = [np.flatnonzero(~np.isin(s.entries["id"], removed)) for s in segments]
    whole = len(segments) == 1 and len(kept[0]) == len(segments[0].entries)
    if whole:
        vectors = segments[0].vectors  # stays on disk until it is read
    else:
        vectors = np.concatenate(
            [empty, *(s.vectors[k] for s, k in zip(segments, kept, strict=True))]
        )

    def column(field: str, dtype: str) -> np.ndarray:
        parts = [s.entries[field][k] for s, k in zip(segments, kept, strict=True)]
        return np.concatenate([np.empty(0, dtype), *parts]).astype(dtype)

    places = [np.column_stack((np.full(len(k), i), k)) for i, k in enumerate(kept)]
    return Entries(
        vectors=vectors,
        ids=column("id", "i8"),
        columns=_columns(category_ids, column("category", "i8"), manifest),
        modalities=column("modality", "u1"),
        places=np.concatenate([np.empty((0, 2), np.int64), *places]),
        segments=segments,
    )


def _columns(category_ids: np.ndarray, wanted: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Positions of category ids."""
    columns = np.searchsorted(category_ids, wanted)
    known = columns < len(category_ids)
    known[known] = category_ids[columns[known]] == wanted[known]
    if not known.all():
        raise DamagedDataError(
            f"Memory '{manifest.name}' names categories that it does not have.",
            f"Run: rar-agent memory verify {manifest.name}, which says which file.",
        )
    return columns


def _tombstones(folder: Path, manifest: Manifest) -> np.ndarray:
    ref = manifest.tombstones
    return map_array(folder, ref, np.dtype("<i8"), ref.size // 8) if ref else np.empty(0, np.int64)


def _rows(entries: Entries, modality: str, count: int) -> Rows | None:
    """Entries of one modality by category; several of one category are averaged."""
    rows = np.flatnonzero(entries.modalities == MODALITIES.index(modality))
    if not len(rows):
        return None
    columns = entries.columns[rows]
    sums = np.zeros((count, entries.vectors.shape[1]), np.float32)
    np.add.at(sums, columns, entries.vectors[rows])
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    lengths, biases = np.ones(count, np.float32), np.zeros(count, np.float32)
    for row, column in zip(rows, columns, strict=True):
        segment, within = entries.places[row]
        entry = entries.segments[segment].entries[within]
        lengths[column], biases[column] = entry["length"], entry["bias"]
    return Rows(
        vectors=sums / np.maximum(norms, 1e-12),
        lengths=lengths,
        biases=biases,
    )


def _fit(folder: Path, manifest: Manifest) -> Fit | None:
    record = manifest.fit
    if record is None:
        return None
    count = record.categories.size // 4
    stored = record.model_dump(exclude={"categories", "weights", "biases"})
    weights = map_array(folder, record.weights, np.dtype("<f4"), count * manifest.dimension)
    return Fit(
        **stored,
        categories=np.array(map_array(folder, record.categories, np.dtype("<i4"), count)),
        weights=weights.reshape(count, manifest.dimension),
        biases=map_array(folder, record.biases, np.dtype("<f4"), count),
    )
