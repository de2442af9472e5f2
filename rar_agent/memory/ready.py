"""Memories that come ready-made from an encoder's own classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rar_agent.encoders.base import normalize
from rar_agent.memory.format.generation import current_generation, read_fields
from rar_agent.memory.format.location import CURRENT, memory_folder
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.format.manifest import FORMAT_VERSION, encoder_record
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.teaching.draft import Draft

READY = ("imagenet-1k",)
"""Names of the ready memories."""


def is_ready(folder: Path) -> bool:
    """Whether a ready memory is there, in the format that is written now."""
    return _format(folder) >= FORMAT_VERSION


def make_ready(home: Path, name: str) -> None:
    """Write a ready memory; seconds, and 5 MB on disk.

    Raises:
        ConfigurationError: The builtin encoder's weights are not installed.
    """
    from rar_agent.encoders.builtin import BuiltinEncoder
    from rar_agent.encoders.imagenet import imagenet_categories

    encoder = BuiltinEncoder("cpu")
    categories = imagenet_categories()
    rows, lengths = normalize(encoder.head_weights)
    folder = memory_folder(home, name)
    with writer_lock(folder, wait_s=60.0):
        if is_ready(folder):  # another process was faster
            return
        draft = Draft(
            folder,
            encoder_record(encoder, ("{}",)),
            encoder.dimension,
            domain="objects and animals",
        )
        entries = [
            NewEntry(
                category=draft.put(category),
                content=text_content(f"{name}:{row}"),
                source=f"classifier row {row}",
                length=float(length),
                bias=float(bias),
            )
            for row, (category, length, bias) in enumerate(
                zip(categories, lengths, encoder.head_bias, strict=True)
            )
        ]
        draft.add_segment("head", entries, np.asarray(rows))
        draft.fixed = True
        draft.generation = _generation(folder)
        draft.commit("ready")


def _format(folder: Path) -> int:
    if not (folder / CURRENT).exists():
        return 0
    version = read_fields(folder).get("format_version")
    return version if isinstance(version, int) else 0


def _generation(folder: Path) -> int:
    """Of an older format that is replaced; 0 where there is none."""
    return current_generation(folder)
