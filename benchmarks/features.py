"""Images of a data set encoded once, and memories made of their vectors without encoding again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rar_agent.encoders import Encoder, FloatArray
from rar_agent.images import admit
from rar_agent.memory import Memory, read_folder
from rar_agent.memory.format.manifest import EncoderRecord, encoder_record
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.teaching.draft import Draft
from rar_agent.memory.teaching.texts import default_templates, encode_categories
from rar_agent.types import Category


@dataclass(frozen=True)
class Features:
    """A folder of folders, encoded.

    Attributes:
        names: Categories, in order.
        paths: (n) images.
        vectors: (n, d) unit rows.
        labels: (n,) positions in `names`.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    vectors: FloatArray
    labels: np.ndarray

    def drawn(self, folder: Path, shots: int, seed: int) -> np.ndarray:
        """Rows of the images that `read_folder` draws."""
        row_of = {path: row for row, path in enumerate(self.paths)}
        return np.array([row_of[p] for _, paths in read_folder(folder, shots, seed) for p in paths])


def encode(encoder: Encoder, folder: Path, cache: Path | None = None) -> Features:
    """Encode a folder of folders, or read what was encoded before.

    Args:
        encoder: What to encode with.
        folder: FOLDER/CATEGORY/….
        cache: Folder that vectors are kept in, by the images' names and the encoder.
    """
    found = read_folder(folder)
    paths = [path for _, part in found for path in part]
    labels = np.repeat(np.arange(len(found)), [len(part) for _, part in found])
    listed = f"{encoder.fingerprint.identity}:{folder}:{len(paths)}:{paths[0]}:{paths[-1]}"
    stored = cache / f"{hashlib.sha256(listed.encode()).hexdigest()[:16]}.npy" if cache else None
    if stored and stored.exists():
        vectors = np.load(stored, allow_pickle=False)
    else:
        parts = [
            encoder.encode_images([admit(path).rgb for path in paths[start : start + 64]])
            for start in range(0, len(paths), 64)
        ]
        vectors = np.concatenate(parts)
        if stored:
            stored.parent.mkdir(parents=True, exist_ok=True)
            np.save(stored, vectors)
    names = tuple(category.name for category, _ in found)
    return Features(names, tuple(paths), vectors, labels)


def memory_of(
    folder: Path,
    record: EncoderRecord,
    vectors: FloatArray,
    labels: np.ndarray,
    names: Sequence[str],
    texts: Mapping[int, FloatArray] | None = None,
) -> Memory:
    """A memory of vectors that were encoded before.

    Args:
        folder: Where to write it: HOME/memories/NAME.
        record: The encoder that made them.
        vectors: (n, d) unit rows of exemplars; may be none.
        labels: (n,) their positions in `names`.
        names: Categories.
        texts: Text vectors by position; None for a memory without texts.
    """
    draft = Draft(folder, record, vectors.shape[1])
    numbers = [draft.put(Category(name=name)) for name in names]
    exemplars = [
        NewEntry(numbers[label], text_content(f"{label}:{row}"), str(row))
        for row, label in enumerate(labels)
    ]
    draft.add_segment("image", exemplars, vectors)
    if texts:
        named = [NewEntry(numbers[c], text_content(names[c]), names[c]) for c in texts]
        draft.add_segment("text", named, np.stack(list(texts.values())))
    return draft.commit("ready")


def record_of(encoder: Encoder) -> EncoderRecord:
    """What a memory says of its encoder."""
    return encoder_record(encoder, default_templates(encoder, ""))


def text_vectors(encoder: Encoder, names: Sequence[str]) -> dict[int, FloatArray]:
    """Text vectors of categories by position."""
    categories = [Category(name=name) for name in names]
    rows = encode_categories(encoder, categories, default_templates(encoder, ""))
    return dict(enumerate(rows))
