"""Memories that come ready-made from an encoder's own classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rar_agent.encoders.base import normalize
from rar_agent.memory.format.location import CURRENT, memory_folder
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.format.manifest import EncoderRecord
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.teaching.draft import Draft

READY = ("imagenet-1k",)
"""Names of the ready memories."""


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
        if (folder / CURRENT).exists():  # another process was faster
            return
        draft = Draft(
            folder,
            EncoderRecord(
                name=encoder.name,
                details=dict(encoder.fingerprint.details),
                precision=encoder.fingerprint.precision,
                text_scale=encoder.text_scale,
                names_help=encoder.names_help,
                templates=("{}",),
            ),
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
        draft.commit("ready")
