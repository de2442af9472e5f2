"""Importing an exported memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from rar_agent.encoders import FloatArray
from rar_agent.errors import DamagedDataError
from rar_agent.memory.exchange.exported import ExportedMemory, open_exported
from rar_agent.memory.exchange.layout import CATEGORIES, ENTRIES, VECTORS
from rar_agent.memory.exchange.new import creating
from rar_agent.memory.format.manifest import ENTRY, MODALITIES
from rar_agent.memory.format.opened import reason
from rar_agent.memory.format.segment import Part, SegmentWriter
from rar_agent.memory.memory import Memory
from rar_agent.memory.teaching.draft import Draft
from rar_agent.memory.teaching.learn import Progress
from rar_agent.types import Modality

_SHA256 = re.compile(r"[0-9a-f]{64}")
_OFF_LENGTH = 1e-3  # how much a unit row's length may be off 1
_LARGEST_ID = 2**62  # so that ids can still be counted up
_AGAIN = "Export the memory again, or mend what wrote the folder."


def import_memory(home: Path, name: str, folder: Path, progress: Progress | None = None) -> Memory:
    """Make a memory of a folder that `export_memory` wrote; all of it, or nothing.

    Ids of entries and bits of vectors stay; the scoring is chosen anew. Memory use grows with the
    numbers of categories and of entries, by a few bytes each, not with the vectors.

    Args:
        home: Where memories live.
        name: The new memory.
        folder: What was exported.
        progress: Told after each part how many entries are read, and of how many.

    Raises:
        NotFoundError: There is no exported memory in the folder.
        InputError: There is a memory of that name already.
        DamagedDataError: Something in the folder is missing, has changed or makes no sense.
        ConfigurationError: pyarrow is not installed, or the memory cannot be written.
    """
    exported = open_exported(Path(folder))
    says = exported.says
    with creating(home, name) as place:
        draft = Draft(
            place,
            says.encoder,
            says.dimension,
            says.domain,
            fixed=says.fixed,
            thumbnails=says.thumbnails,
            prior=says.prior,
        )
        numbers = _put_categories(draft, exported)
        _write_entries(draft, exported, numbers, progress)
        return draft.commit("ready", "always")


def _put_categories(draft: Draft, exported: ExportedMemory) -> dict[str, int]:
    numbers: dict[str, int] = {}
    parents: dict[str, str] = {}
    for category in exported.categories():
        if category.name in numbers:
            raise _wrong(exported, CATEGORIES, f"two categories have the name '{category.name}'")
        numbers[category.name] = draft.put(category)
        if category.parent:
            parents[category.name] = category.parent
    _refuse_cycles(exported, parents)
    return numbers


def _wrong(exported: ExportedMemory, name: str, why: str) -> DamagedDataError:
    return DamagedDataError(f"'{exported.folder / name}' is wrong: {reason(why)}.", _AGAIN)


def _refuse_cycles(exported: ExportedMemory, parents: Mapping[str, str]) -> None:
    """Check that no category is above itself; each is looked at once."""
    fine: set[str] = set()
    for name in parents:
        way: dict[str, None] = {}
        while name in parents and name not in fine:
            if name in way:
                steps = list(way)
                shown = [*steps[steps.index(name) :][:5], "…", name]
                why = f"'{name}' is above itself: {' < '.join(shown)}"
                raise _wrong(exported, CATEGORIES, why)
            way[name] = None
            name = parents[name]
        fine |= set(way)


def _write_entries(
    draft: Draft,
    exported: ExportedMemory,
    numbers: Mapping[str, int],
    progress: Progress | None,
) -> None:
    """Write one segment of each modality, all at once: the rows may come in any order."""
    count, done = exported.says.entries, 0
    ids = np.empty(count, np.int64)
    writers: dict[Modality, SegmentWriter] = {}
    with ExitStack() as stack:
        for rows in exported.entries():
            here = slice(done, done + len(rows))
            vectors = np.array(exported.vectors[here], np.float32)
            if len(vectors) != len(rows):
                raise _wrong(exported, ENTRIES, f"it has more than {count} rows")
            if why := _wrong_vector(vectors, rows):
                raise _wrong(exported, VECTORS, why)
            try:
                entries = _fields(rows, numbers)
            except ValueError as error:
                raise _wrong(exported, ENTRIES, str(error)) from error
            ids[here] = entries["id"]
            for code in np.unique(entries["modality"]).tolist():
                modality = MODALITIES[code]
                if modality not in writers:
                    writers[modality] = SegmentWriter(draft.folder, stack)
                writers[modality].append(_part(rows, entries, vectors, code))
            done += len(rows)
            if progress:
                progress(done, count)
    if done != count or len(np.unique(ids)) != count:
        raise _wrong(exported, ENTRIES, "rows are missing, or two have the same id")
    draft.segments = [writers[m].ref(m) for m in MODALITIES if m in writers]
    draft.next_entry = int(ids.max()) + 1 if count else 0


def _fields(rows: list[dict[str, Any]], numbers: Mapping[str, int]) -> np.ndarray:
    """(n,) of `ENTRY`, without the places of the sources.

    Raises:
        ValueError: One makes no sense.
    """
    entries = np.zeros(len(rows), ENTRY)
    for i, row in enumerate(rows):
        wrong = ""
        if row["category"] not in numbers:
            wrong = f"category '{row['category'][:60]}', which {CATEGORIES} does not have"
        elif row["modality"] not in MODALITIES:
            wrong = f"modality '{row['modality'][:60]}'"
        elif not _SHA256.fullmatch(row["content"]):
            wrong = f"content '{row['content'][:70]}', which is no sha256"
        elif not 0 <= row["id"] < _LARGEST_ID:
            wrong = "id"
        elif not np.isfinite([row["length"], row["bias"]]).all() or row["length"] < 0:
            wrong = f"length {row['length']} or bias {row['bias']}"
        if wrong:
            raise ValueError(f"entry {row['id']} has the {wrong}")
        entries["id"][i] = row["id"]
        entries["category"][i] = numbers[row["category"]]
        entries["modality"][i] = MODALITIES.index(row["modality"])
        entries["length"][i], entries["bias"][i] = row["length"], row["bias"]
        entries["content"][i] = np.void(bytes.fromhex(row["content"]))
    return entries


def _wrong_vector(vectors: FloatArray, rows: list[dict[str, Any]]) -> str:
    """Which vector is no unit vector; empty where all are."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors, axis=1)
        wrong = np.flatnonzero(~(np.abs(lengths - 1) <= _OFF_LENGTH))
    if not len(wrong):
        return ""
    row = int(wrong[0])
    return f"the vector of entry {rows[row]['id']} has the length {lengths[row]:g}, not 1"


def _part(rows: list[dict[str, Any]], entries: np.ndarray, vectors: FloatArray, code: int) -> Part:
    chosen = np.flatnonzero(entries["modality"] == code)
    return Part(
        entries[chosen],
        vectors[chosen],
        [rows[i]["source"].encode() for i in chosen],
        [rows[i]["thumbnail"] or b"" for i in chosen],
    )
