"""Opening a memory: manifest, structure, sizes, fit; the rest is computed when it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import ConfigurationError, DamagedDataError
from rar_agent.memory.entries import Entries
from rar_agent.memory.format.categories import Categories
from rar_agent.memory.format.files import DATA, read_ids
from rar_agent.memory.format.generation import read_manifest, verify_files
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.format.manifest import FileRef, Manifest
from rar_agent.memory.format.opened import damaged
from rar_agent.memory.format.origin import called
from rar_agent.memory.format.segment import OpenSegment, open_segment
from rar_agent.memory.memory import Memory

_NAMED = 5  # of many files that a message names


def open_memory(home: Path, name: str) -> Memory:
    """Open the valid generation of a memory for reading.

    A ready memory (`imagenet-1k`) is made from the builtin encoder's classifier when it is first
    asked for.

    Raises:
        NotFoundError: There is none of that name.
        ConfigurationError: Its build was interrupted, its format is older, or a ready memory's
            weights are missing.
        DamagedDataError: It is damaged.
    """
    from rar_agent.memory.ready import READY, is_ready, make_ready

    folder = memory_folder(home, name)
    if name in READY and not is_ready(folder):
        make_ready(home, name)
    memory = _open_newest(folder)
    if memory.manifest.state == "building":
        raise ConfigurationError(
            f"Memory '{called(folder)}' is incomplete: its build was interrupted after "
            f"{len(memory.entries)} entries.",
            "Run the same rar-agent memory create again; it goes on where it stopped.",
        )
    return memory


def _open_newest(folder: Path) -> Memory:
    """Open the valid generation with all that it reads from files by name.

    A writer may remove those files as soon as there are two newer generations: from here on this
    one does not need the names, and if it was too late for that, the newer one is opened.
    """
    manifest = read_manifest(folder)
    try:
        memory = open_generation(folder, manifest)
        _ = memory.fit, memory.changed  # kept by the memory
    except DamagedDataError:
        if read_manifest(folder).generation == manifest.generation:
            raise
        return _open_newest(folder)
    return memory


def verify_memory(home: Path, name: str) -> list[str]:
    """Hash every file of a memory, without opening it.

    Returns:
        What is wrong, one sentence each.

    Raises:
        NotFoundError: There is none of that name.
        DamagedDataError: CURRENT or the manifest is damaged.
    """
    return verify_files(memory_folder(home, name))


def open_generation(folder: Path, manifest: Manifest) -> Memory:
    """Open one generation, complete or not.

    Raises:
        DamagedDataError: A file is missing, has another size or does not parse.
    """
    categories = Categories(folder, manifest.layers)
    found, said = len(categories), manifest.record_count
    if found < manifest.category_count or said not in (None, found):
        files = ", ".join(f"{DATA}/{layer.rows.name}" for layer in manifest.layers[-_NAMED:])
        raise DamagedDataError(
            f"Memory '{manifest.name}' has {found} categories and branches on record in {files}; "
            f"its manifest says {said or manifest.category_count}.",
            f"Run: rar-agent memory verify {manifest.name}, which says which file has changed.",
        )
    categories.refuse_repeats()
    segments = [open_segment(folder, ref, manifest.dimension) for ref in manifest.segments]
    removed = read_ids(folder, manifest.tombstones)
    if manifest.tombstones is not None:
        _check_removed(folder, manifest.tombstones, removed, segments)
    return Memory(folder, manifest, categories, Entries(segments, removed, categories))


def _check_removed(
    folder: Path, ref: FileRef, removed: NDArray[np.int64], segments: Sequence[OpenSegment]
) -> None:
    """Check that removed ids ascend and are those of entries."""
    inside = [int(np.isin(segment.entries["id"], removed).sum()) for segment in segments]
    if (np.diff(removed) <= 0).any() or sum(inside) != len(removed):
        found = [s for s, many in zip(segments, inside, strict=True) if many] or segments
        names = ", ".join(segment.ref.entries.name for segment in found[:_NAMED])
        why = f"its {len(removed)} ids are not in order, or not each that of one entry in {names}"
        raise damaged(folder, f"{DATA}/{ref.name}", why)
