"""Memories and exemplars made of arrays: no encoder is needed to store and score vectors."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rar_agent.encoders.base import normalize
from rar_agent.memory.format.manifest import EncoderRecord
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.teaching.draft import Draft
from rar_agent.types import Category

DIMENSION = 8
RECORD = EncoderRecord(
    name="builtin",
    details={"dimension": "any"},
    precision="fp32",
    text_scale=10.0,
    names_help=True,
    templates=("{}",),
)


@dataclass
class Arrays:
    """Exemplars in memory."""

    vectors: np.ndarray
    labels: np.ndarray

    @property
    def dimension(self):
        return self.vectors.shape[1]

    def take(self, rows):
        return self.vectors[rows]

    def by_label(self):
        """Vectors of each label."""
        return {c: self.vectors[self.labels == c] for c in range(int(self.labels.max()) + 1)}


def unit(rows):
    return normalize(np.asarray(rows, np.float32))[0]


def drawn(seed, count, dimension=DIMENSION):
    """(count, dimension) seeded unit rows."""
    return unit(np.random.default_rng(seed).normal(size=(count, dimension)))


def clusters(categories=12, shots=10, dimension=32, seed=0, spread=0.6, fresh=0):
    """Unit rows about seeded centres, labels, and as many fresh rows of each category as asked."""
    centres = np.random.default_rng(seed).normal(size=(categories, dimension))
    counts = np.full(categories, shots) if np.isscalar(shots) else np.asarray(shots)
    labels = np.repeat(np.arange(categories), counts)
    random = np.random.default_rng(seed + 1)
    rows = centres[labels] + spread * random.normal(size=(len(labels), dimension))
    asked = np.repeat(np.arange(categories), fresh)
    queries = centres[asked] + spread * random.normal(size=(len(asked), dimension))
    found = Arrays(unit(rows), labels.astype(np.int64))
    return (found, unit(queries), asked) if fresh else found


def begin(folder: Path, after=None, dimension=DIMENSION) -> Draft:
    """A draft of a memory's first generation, or of the one after another."""
    return Draft.after(after) if after else Draft(folder, RECORD, dimension)


def put(draft, modality, vectors, seed=0, thumbnails=False):
    """Add a segment with the rows of `vectors[number]` for each category's number.

    Args:
        draft: Of a memory.
        modality: Of the entries.
        vectors: (n, d) rows by category; the lengths of heads are kept.
        seed: Of what the contents are hashes of.
        thumbnails: Whether all but each category's first have one.
    """
    entries = [
        NewEntry(
            number,
            text_content(f"{modality} {seed} {number} {i}"),
            f"/photos/{number}/{i}.jpg",
            length=float(np.linalg.norm(row)) if modality == "head" else 1.0,
            thumbnail=f"JPEG {number} {i}".encode() if thumbnails and i else b"",
        )
        for number, rows in vectors.items()
        for i, row in enumerate(np.atleast_2d(rows))
    ]
    if entries:
        draft.add_segment(
            modality, entries, unit(np.concatenate([*map(np.atleast_2d, vectors.values())]))
        )


def memory_of(home, images=None, texts=None, heads=None, categories=None):
    """A memory whose category i has the vectors of images[i], texts[i], heads[i].

    Args:
        home: Where memories live; it is called `m`.
        images: (n, d) rows by category, or one row; likewise texts and heads.
        texts: Likewise.
        heads: Likewise.
        categories: In order; c0, c1, … where there are none.
    """
    given = {"image": images or {}, "text": texts or {}, "head": heads or {}}
    dimension = next(np.shape(rows)[-1] for part in given.values() for rows in part.values())
    place = home / "memories" / "m"
    shutil.rmtree(place, ignore_errors=True)  # of an earlier example
    draft = begin(place, dimension=dimension)
    count = 1 + max(c for part in given.values() for c in part)
    for category in categories or [Category(name=f"c{c}") for c in range(count)]:
        draft.put(category)
    for modality, part in given.items():
        put(draft, modality, part)
    return draft.commit("ready")
