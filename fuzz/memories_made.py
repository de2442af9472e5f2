"""The memories that are mutated: a few entries each, and between them a file of every kind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders.base import normalize
from rar_agent.memory.exchange.export import export_memory
from rar_agent.memory.format.files import DATA, adopt_file
from rar_agent.memory.format.manifest import IndexRef, PriorRecord, RankerRecord
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.index.build import build_index
from rar_agent.memory.index.spec import IndexSpec
from rar_agent.memory.index.trust import Trust
from rar_agent.memory.open import open_memory
from rar_agent.memory.teaching.draft import Draft
from rar_agent.types import Category, Modality
from tests.memory.arrays import RECORD

DIMENSION = 8
EXPORTED = "exported"
"""Folder of what was exported, beside `memories`."""

Rows = Mapping[int, NDArray[np.float32]]


def make(home: Path) -> None:
    """Write all memories of `MADE`, and one of them exported."""
    for name, build in MADE.items():
        build(home / "memories" / name)
    export_memory(open_memory(home, "taught"), home / EXPORTED)


def queries() -> NDArray[np.float32]:
    """(2, d) unit rows that the memories are asked."""
    return np.concatenate([_near(3, 1, 99), _drawn(99, 1)])


def _taught(folder: Path) -> None:
    """Images, texts, pictures, branches, removed entries, two layers, a calibrated ranker."""
    draft = _begun(folder)
    for number in range(9):
        draft.put(Category(name=f"c{number}", parent=("birds", "", "all")[number % 3]))
    draft.put(Category(name="birds", parent="all", metadata={"rank": ["order", 4, None]}))
    _put(draft, "image", {number: _near(number, 5) for number in range(8)}, thumbnails=True)
    _put(draft, "text", {number: _near(number, 1, 50) for number in range(9)})
    draft.commit("ready")
    draft = Draft.after(open_memory(folder.parents[1], folder.name))
    draft.remove([1, 7])
    draft.put(Category(name="c0", description="said later", parent="birds"), 0)
    draft.rankers = (_ranker(),)
    draft.commit("ready", "always")
    draft = Draft.after(open_memory(folder.parents[1], folder.name))
    draft.remove([5])
    _put(draft, "image", {2: _near(2, 2, 60)})
    draft.commit("ready", "never")


def _few(folder: Path) -> None:
    """An exemplar or two of each category: the fixed rule."""
    draft = _begun(folder)
    for number in range(4):
        draft.put(Category(name=f"c{number}"))
    _put(draft, "image", {number: _near(number, 1 + number % 2) for number in range(4)})
    draft.commit("ready")


def _heads(folder: Path) -> None:
    """Rows of a linear classifier."""
    draft = _begun(folder)
    for number in range(6):
        draft.put(Category(name=f"c{number}"))
    _put(draft, "head", {number: 3 * _near(number, 1) for number in range(6)})
    draft.commit("ready")


def _texts(folder: Path) -> None:
    """Texts alone, with a prior."""
    draft = _begun(folder)
    for number in range(6):
        draft.put(Category(name=f"c{number}", metadata={"images": 3 * number}))
    _put(draft, "text", {number: _near(number, 1) for number in range(6)})
    draft.prior = PriorRecord(key="images", weight=0.5)
    draft.commit("ready")


def _indexed(folder: Path) -> None:
    """An index that this machine wrote."""
    draft = _begun(folder)
    for number in range(8):
        draft.put(Category(name=f"c{number}"))
    _put(draft, "image", {number: _near(number, 14) for number in range(8)})
    rows = np.concatenate([_near(number, 14) for number in range(8)])
    spec = IndexSpec("hnsw", len(rows), DIMENSION, links=4, construction=16, effort=16)
    build_index(rows, spec, folder / DATA / "draft.tmp")
    file = adopt_file(folder, folder / DATA / "draft.tmp", "faiss")
    Trust().written(folder / DATA / file.name, file.sha256)
    parameters = {"links": 4, "construction": 16, "lists": 0, "codes": 0, "effort": 16, "rerank": 1}
    index = IndexRef(file=file, kind="hnsw", parameters=parameters, recall={"image": 1.0})
    draft.segments = [draft.segments[0].model_copy(update={"index": index})]
    draft.commit("ready")


MADE: Mapping[str, Callable[[Path], None]] = {
    "taught": _taught,
    "few": _few,
    "heads": _heads,
    "texts": _texts,
    "indexed": _indexed,
}


def _begun(folder: Path) -> Draft:
    return Draft(folder, RECORD, DIMENSION, thumbnails=32)


def _put(draft: Draft, modality: Modality, rows: Rows, thumbnails: bool = False) -> None:
    entries = [
        NewEntry(
            number,
            text_content(f"{modality} {number} {place} {draft.next_entry}"),
            f"/photos/{number}/{place}.jpg",
            length=float(np.linalg.norm(row)),
            thumbnail=f"JPEG {number} {place}".encode() if thumbnails and place else b"",
        )
        for number, those in rows.items()
        for place, row in enumerate(those)
    ]
    draft.add_segment(modality, entries, normalize(np.concatenate([*rows.values()]))[0])


def _near(category: int, count: int, seed: int = 0) -> NDArray[np.float32]:
    """(count, d) unit rows about a category's centre."""
    noise = np.random.default_rng([category, seed]).normal(size=(count, DIMENSION))
    return normalize((_drawn(category, 1) + 0.25 * noise).astype(np.float32))[0]


def _drawn(seed: int, count: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    return normalize(drawn.astype(np.float32))[0]


def _ranker() -> RankerRecord:
    choice: Literal["choice"] = "choice"
    return RankerRecord(
        model="openai:gpt",
        ranker=choice,
        prompt="rank@1",
        prompt_hash=hashlib.sha256(b"prompt").hexdigest(),
        orders=1,
        k=5,
        weight=0.5,
        gate=0.8,
        loss=0.01,
        images=50,
        calls=50,
        retrieval_top1=0.7,
        ranked_top1=0.8,
        asked_share=0.5,
        prior=(0.5, 0.5),
        answers=((0.5, True), (0.4, False)),
        created="2026-01-01T00:00:00+00:00",
        entries=100,
        next_entry=200,
    )
