"""Giving exemplars to other categories: merge, move."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rar_agent.errors import InputError
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.format.segment import NewEntry
from rar_agent.memory.memory import Memory
from rar_agent.memory.taxonomy import refuse_cycle
from rar_agent.memory.teaching.draft import Draft, Fitting
from rar_agent.memory.teaching.forget import drop_empty
from rar_agent.memory.teaching.learn import with_entries
from rar_agent.memory.teaching.named import category_of, is_branch, number_of, rows_of
from rar_agent.memory.teaching.teach import changing
from rar_agent.memory.teaching.update import LoadEncoder, rewrite_text
from rar_agent.memory.unknown import unknown
from rar_agent.types import Category


def merge_categories(
    home: Path,
    name: str,
    merged: Sequence[str],
    into: str,
    load: LoadEncoder,
    fitting: Fitting = "auto",
) -> Memory:
    """Make one category of several: it keeps all exemplars, and the others' names as aliases.

    The categories below the others follow. The same image in several of them is kept once. The one
    that stays may be named among them, and may be a mere branch.

    Raises:
        NotFoundError: The memory or a category is not there; nothing is changed.
        InputError: No other category is named than the one that stays.
    """
    with changing(memory_folder(home, name)) as memory:
        draft = Draft.after(memory)
        others = [other for other in dict.fromkeys(merged) if other != into]
        numbers = [number_of(draft, memory, other) for other in others]
        if (target := draft.find(into)) is None and is_branch(memory, into):
            target = draft.put(Category(name=into))
        if target is None:
            raise unknown(memory, into, more=_how_to_make(memory, others, into))
        if not others:
            raise InputError(f"'{into}' cannot be merged into itself.", "Name others too.")
        group = [category_of(draft, number) for number in (target, *numbers)]
        kept = group[0]
        inside = {category.name for category in group}
        above = (category.parent for category in group if category.parent not in inside)
        for gone in group[1:]:
            names = [n for n in (gone.name, *gone.aliases) if n not in (kept.name, *kept.aliases)]
            kept = kept.model_copy(
                update={
                    "aliases": (*kept.aliases, *names),
                    "description": kept.description or gone.description,
                    "metadata": {**gone.metadata, **kept.metadata},
                }
            )
        kept = kept.model_copy(update={"parent": next(filter(None, above), "")})
        for number, gone in zip(numbers, group[1:], strict=True):
            for child in memory.categories.children(gone.name):
                below = int(memory.categories.ids[child])
                if below not in (target, *numbers):
                    draft.put(category_of(draft, below).model_copy(update={"parent": into}), below)
            draft.forget(number)
        draft.put(kept, target)
        refuse_cycle(kept, draft)
        columns = memory.categories.columns(np.array(numbers))
        _move(draft, memory, memory.entries.rows_of("image", columns), target)
        texts = memory.entries.rows_of("text", columns)
        draft.remove(memory.entries.id_of(int(row)) for row in texts)
        rewrite_text(draft, memory, target, kept, load, wanted=len(texts) > 0)
        return draft.commit("ready", fitting)


def move_entries(
    home: Path,
    name: str,
    entries: Sequence[int],
    to: str,
    load: LoadEncoder,
    fitting: Fitting = "auto",
) -> Memory:
    """Give exemplars to another category, as after a wrong label; a category left empty goes.

    One of which the category has the same image already is only removed. A branch that becomes a
    category by them gets a text, where the memory has texts.

    Raises:
        NotFoundError: The memory, an entry or the category is not there; nothing is changed.
        InputError: An entry is no exemplar.
    """
    with changing(memory_folder(home, name)) as memory:
        draft = Draft.after(memory)
        target = number_of(draft, memory, to)
        rows = rows_of(memory, entries)
        modalities = memory.entries.fields(rows)["modality"]
        if (modalities != 0).any():
            entry = entries[int(np.flatnonzero(modalities)[0])]
            raise InputError(f"Entry {entry} is a text, no exemplar.", "Move exemplars only.")
        left = np.unique(memory.entries.columns[rows])
        _move(draft, memory, rows, target)
        left = left[memory.categories.ids[left] != target]
        drop_empty(draft, memory, left)
        if len(left) and target not in with_entries(memory):
            kept = category_of(draft, target)
            rewrite_text(draft, memory, target, kept, load, wanted=memory.has_texts)
        return draft.commit("ready", fitting)


def _move(draft: Draft, memory: Memory, rows: np.ndarray, target: int) -> None:
    """Write exemplars again under another category, each image once; nothing is encoded."""
    column = memory.categories.columns(np.array([target]))
    own = memory.entries.rows_of("image", column)
    rows = rows[memory.entries.columns[rows] != column[0]]
    draft.remove(memory.entries.id_of(int(row)) for row in rows)
    known = {bytes(content) for content in memory.entries.fields(own)["content"]}
    new: dict[bytes, int] = {}
    for row, content in zip(rows, memory.entries.fields(rows)["content"], strict=True):
        if bytes(content) not in known:
            new.setdefault(bytes(content), int(row))
    moved = [
        NewEntry(
            target,
            content.hex(),
            memory.entries.source(row),
            thumbnail=memory.entries.thumbnail(row),
        )
        for content, row in new.items()
    ]
    draft.add_segment("image", moved, memory.entries.vectors(np.array([*new.values()], np.int64)))


def _how_to_make(memory: Memory, merged: Sequence[str], into: str) -> str:
    """How to merge into a name that is none's yet."""
    if not merged:
        return ""
    rename = shlex.join(["rar-agent", "memory", "rename", memory.name, merged[0], into])
    return f"To make it, rename one of them first: {rename}"
