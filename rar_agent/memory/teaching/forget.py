"""Forgetting categories and exemplars."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import InputError
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.memory import Memory
from rar_agent.memory.teaching.draft import Draft, Fitting
from rar_agent.memory.teaching.named import category_of, is_branch, number_of, place_of, rows_of
from rar_agent.memory.teaching.teach import changing
from rar_agent.types import Category

_NO_ROWS = np.empty(0, np.int64)


def remove_from_memory(
    home: Path,
    name: str,
    categories: Sequence[str] = (),
    entries: Sequence[int] = (),
    fitting: Fitting = "auto",
) -> Memory:
    """Forget whole categories, or single entries; a category without entries goes too.

    One that others are below stays as a branch, with the parent it had and nothing else, so that
    they stay where they are in the tree; it goes when it is removed with or after them. Where it
    had no parent their own records name it, and nothing of it has to stay.

    Raises:
        NotFoundError: The memory, a category or an entry is not there; nothing is changed.
        InputError: It is a ready memory, or a branch is named of which nothing is known but what
            is below it.
        BusyError: Somebody else is writing to it.
    """
    with changing(memory_folder(home, name)) as memory:
        draft = Draft.after(memory)
        on_record = [c for c in categories if not is_branch(memory, c) or draft.find(c) is not None]
        numbers = [number_of(draft, memory, category) for category in on_record]
        forget_categories(draft, memory, numbers, rows_of(memory, entries))
        for category in categories:
            if is_branch(memory, category):
                _require_nothing_below(draft, memory, category)
        return draft.commit("ready", fitting)


def forget_categories(
    draft: Draft, memory: Memory, numbers: Sequence[int], rows: NDArray[np.int64] = _NO_ROWS
) -> None:
    """Forget categories with all their entries; those that others are below stay as branches.

    Args:
        draft: Of the generation that follows `memory`.
        memory: As it is.
        numbers: Ids of categories that it has.
        rows: Of single entries to forget, which may leave other categories empty.
    """
    gone = memory.categories.columns(np.array(numbers, np.int64))
    for modality in memory.entries.modalities:
        rows = np.union1d(rows, memory.entries.rows_of(modality, gone)).astype(np.int64)
    draft.remove(memory.entries.id_of(int(row)) for row in rows)
    for number in numbers:
        draft.put(place_of(category_of(draft, number)), number)
    drop_empty(draft, memory, np.union1d(gone, memory.entries.columns[rows]))


def _require_nothing_below(draft: Draft, memory: Memory, branch: str) -> None:
    below = memory.categories.ids[memory.categories.children(branch)]
    if left := [c.name for number in below.tolist() if (c := draft.category(number))]:
        raise InputError(
            f"'{branch}' is a branch with {len(left)} right below it: {', '.join(left[:3])}"
            f"{', …' if len(left) > 3 else ''}. There is nothing else to forget.",
            "Remove these too, or give them another parent: "
            f"{shlex.join(['rar-agent', 'memory', 'update', memory.name, left[0]])} --parent P",
        )


def drop_empty(draft: Draft, memory: Memory, columns: np.ndarray) -> None:
    """Forget those categories that have no entry left, unless they say where others belong."""
    entries = memory.entries
    left = np.zeros(len(memory.categories), bool)
    for modality in entries.modalities:
        rows = entries.rows_of(modality, columns)
        kept = rows[~np.isin(entries.fields(rows)["id"], draft.removed)]
        left[entries.columns[kept]] = True
    empty = {}  # numbers, and what was below each
    for column in columns[~left[columns]]:
        number = int(memory.categories.ids[column])
        if (category := draft.category(number)) is not None:
            below = memory.categories.children(category.name)
            empty[number] = memory.categories.ids[below].tolist()
            if draft.category(number) == Category(name=category.name):
                empty[number] = []  # those below it say as much
    while gone := [n for n, below in empty.items() if not any(map(draft.category, below))]:
        for number in gone:  # one that goes may have been all that was below another
            draft.forget(number)
            del empty[number]
