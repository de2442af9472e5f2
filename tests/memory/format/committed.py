"""Generations committed without an encoder, and what is in one."""

import json
from pathlib import Path

from rar_agent.types import Category
from tests.memory.arrays import begin, drawn, put


def extend(folder, categories=3, shots=2, seed=0, after=None, thumbnails=False, fitting="auto"):
    """Commit a generation with some categories more, and the images and a text of each."""
    draft = begin(folder, after)
    first = draft.next_category
    new = [draft.put(Category(name=f"c{first + i}")) for i in range(categories)]
    rows = drawn(seed, categories * shots).reshape(categories, shots, -1)
    put(draft, "image", dict(zip(new, rows, strict=True)), seed, thumbnails)
    if thumbnails:
        put(draft, "text", dict(zip(new, drawn(seed + 1_000, categories), strict=True)), seed)
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
