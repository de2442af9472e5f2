"""Generations committed without an encoder, and what is in one."""

import json
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
    details={"dimension": "8"},
    precision="fp32",
    text_scale=20.0,
    names_help=False,
    templates=("{}",),
)


def unit(seed, count, dimension=DIMENSION):
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return normalize(rows.astype(np.float32))[0]


def begin(folder: Path, after=None) -> Draft:
    return Draft.after(after) if after else Draft(folder, RECORD, DIMENSION)


def extend(folder, categories=3, shots=2, seed=0, after=None, thumbnails=False, fitting="auto"):
    """Commit a generation with some categories more, and the images and a text of each."""
    draft = begin(folder, after)
    first = draft.next_category
    new = [draft.put(Category(name=f"c{first + i}")) for i in range(categories)]
    entries = [
        NewEntry(
            c,
            text_content(f"{seed}:{c}:{s}"),
            f"/photos/{c}/{s}.jpg",
            thumbnail=f"JPEG {c} {s}".encode() if thumbnails and s else b"",
        )
        for c in new
        for s in range(shots)
    ]
    draft.add_segment("image", entries, unit(seed, len(entries)))
    if thumbnails:
        texts = [NewEntry(c, text_content(f"c{c}"), f"c{c}") for c in new]
        draft.add_segment("text", texts, unit(seed + 1_000, len(texts)))
    return draft.commit("ready", fitting)


def contents(memory):
    """All that a memory knows, in the order in which it keeps it."""
    rows = memory.entries.live
    return (
        [category.model_dump() for category in memory.categories],
        memory.entries.ids.tolist(),
        memory.entries.columns[rows].tolist(),
        memory.entries.vectors(rows).tolist(),
        [bytes(field["content"]) for field in memory.entries.fields(rows)],
        [memory.entries.source(int(row)) for row in rows],
        [memory.entries.thumbnail(int(row)) for row in rows],
    )


def leftovers(folder: Path) -> list[str]:
    """Files of a memory that neither its generation nor the one before needs."""
    current = json.loads((folder / "CURRENT").read_bytes())["generation"]
    needed = {folder / "CURRENT", folder / "writer.lock"}
    for path in (folder / "generations").iterdir():
        if path.suffix == ".json" and int(path.stem) in (current - 1, current):
            needed.add(path)
            text = path.read_text()
            needed |= {p for p in (folder / "data").iterdir() if p.name in text}
    return sorted(str(p) for p in folder.rglob("*") if p.is_file() and p not in needed)
