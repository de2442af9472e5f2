"""Reading format version 1, to migrate it.

There a segment mixed modalities, and the categories were one file of JSON lines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import from_json

from rar_agent.errors import DamagedDataError, InputError
from rar_agent.memory.format.categories import write_layer
from rar_agent.memory.format.files import map_array
from rar_agent.memory.format.generation import read_fields, verify_files
from rar_agent.memory.format.location import advice
from rar_agent.memory.format.manifest import (
    ENTRY,
    MODALITIES,
    EncoderRecord,
    FileRef,
    SegmentRef,
)
from rar_agent.memory.format.opened import reason
from rar_agent.memory.format.segment import Segment, segment_writer
from rar_agent.types import Category

_U1 = np.dtype("u1")


def draft_fields(folder: Path) -> dict[str, Any]:
    """Fields of a draft with all that a version-1 memory knows, its files rewritten.

    Raises:
        InputError: Its build was interrupted.
        DamagedDataError: A file is missing or has changed, or something does not parse.
    """
    if wrong := verify_files(folder):
        raise DamagedDataError(" ".join(wrong), advice(folder))
    try:
        return _fields(folder, read_fields(folder))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise DamagedDataError(
            f"Memory '{folder.name}' of format version 1 cannot be read: {reason(error)}.",
            advice(folder),
        ) from error


def _fields(folder: Path, old: dict[str, Any]) -> dict[str, Any]:
    if old["state"] == "building":
        raise InputError(
            f"The build of memory '{folder.name}' was interrupted, and only the rar-agent that "
            "began it can go on.",
            f"Give it up: rar-agent memory delete {folder.name}",
        )
    dimension = int(old["dimension"])
    lines = _map(folder, old["categories"], _U1).tobytes().splitlines()
    records = [from_json(line) for line in lines]
    removed = np.empty(0, np.int64)
    if old.get("tombstones"):
        removed = np.sort(_map(folder, old["tombstones"], np.dtype("<i8")))
    categories = [(int(r.pop("id")), Category.model_validate(r)) for r in records]
    layer = write_layer(folder, categories)
    return {
        "encoder": EncoderRecord.model_validate(old["encoder"]),
        "dimension": dimension,
        "domain": old["domain"],
        "fixed": old["fixed"],
        "generation": int(old["generation"]),
        "segments": _segments(folder, old["segments"], removed, dimension),
        "layers": [layer] if layer else [],
        "next_category": int(old["next_category"]),
        "next_entry": int(old["next_entry"]),
    }


def _segments(
    folder: Path, refs: list[dict[str, Any]], removed: np.ndarray, dimension: int
) -> list[SegmentRef]:
    opened = []
    for ref in refs:
        entries = _map(folder, ref["entries"], ENTRY)
        vectors = _map(folder, ref["vectors"], np.dtype("<f4")).reshape(len(entries), dimension)
        opened.append((entries, vectors, _map(folder, ref["sources"], _U1)))
    found = []
    for code, modality in enumerate(MODALITIES):
        with segment_writer(folder) as writer:
            for entries, vectors, sources in opened:
                live = (entries["modality"] == code) & ~np.isin(entries["id"], removed)
                writer.append(Segment(vectors, entries, sources).take(np.flatnonzero(live)))
        if writer.count:
            found.append(writer.ref(modality))
    return found


def _map(folder: Path, ref: dict[str, Any], dtype: np.dtype[Any]) -> np.ndarray:
    file = FileRef.model_validate(ref)
    return map_array(folder, file, dtype, file.size // dtype.itemsize)
