"""Memories and exemplars made of arrays: no encoder is needed to score vectors."""

import shutil
from dataclasses import dataclass

import numpy as np

from rar_agent.encoders.base import normalize
from rar_agent.memory.format.manifest import EncoderRecord
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.teaching.draft import Draft
from rar_agent.types import Category

RECORD = EncoderRecord(
    name="none",
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


def unit(rows):
    return normalize(np.asarray(rows, np.float32))[0]


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


def memory_of(folder, images=None, texts=None, heads=None, names=None, parents=None):
    """A memory whose category i has the vectors of images[i], texts[i], heads[i]."""
    given = [part for part in (images, texts, heads) if part]
    dimension = next(len(np.atleast_2d(v)[0]) for part in given for v in part.values())
    place = folder / "memories" / "m"
    shutil.rmtree(place, ignore_errors=True)  # of an earlier example
    draft = Draft(place, RECORD, dimension)
    count = 1 + max(c for part in given for c in part)
    numbers = [
        draft.put(Category(name=names[c] if names else f"c{c}", parent=(parents or {}).get(c, "")))
        for c in range(count)
    ]
    for modality, part in (("image", images), ("text", texts), ("head", heads)):
        for c, vectors in (part or {}).items():
            rows = np.atleast_2d(vectors)
            lengths = np.linalg.norm(rows, axis=1)
            entries = [
                NewEntry(
                    numbers[c],
                    text_content(f"{modality}{c}{i}"),
                    f"{c}/{i}",
                    float(lengths[i]) if modality == "head" else 1.0,
                )
                for i in range(len(rows))
            ]
            draft.add_segment(modality, entries, unit(rows))
    return draft.commit("ready")
