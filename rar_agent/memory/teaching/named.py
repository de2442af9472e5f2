"""What a name or a number stands for in a memory that is changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import NotFoundError
from rar_agent.memory.memory import Memory
from rar_agent.memory.teaching.draft import Draft
from rar_agent.memory.unknown import unknown
from rar_agent.types import Category


def number_of(draft: Draft, memory: Memory, category: str) -> int:
    """Id of a category by its name.

    Raises:
        NotFoundError: There is none.
    """
    number = draft.find(category)
    if number is None:
        raise unknown(memory, category)
    return number


def category_of(draft: Draft, number: int) -> Category:
    """A category by its id, which was found."""
    category = draft.category(number)
    assert category is not None  # noqa: S101 - its number was found
    return category


def rows_of(memory: Memory, entries: Sequence[int]) -> NDArray[np.int64]:
    """Rows of entries by their ids, each once.

    Raises:
        NotFoundError: There is no such entry.
    """
    rows = [(entry, memory.entries.row_of(entry)) for entry in dict.fromkeys(entries)]
    for entry, row in rows:
        if row is None:
            raise NotFoundError(
                f"Memory '{memory.name}' has no entry {entry}.",
                f"See rar-agent memory show {memory.name} --category CATEGORY",
            )
    return np.array([row for _, row in rows], np.int64)


def place_of(category: Category) -> Category:
    """What is left of a category that is only a branch."""
    return Category(name=category.name, parent=category.parent)


def is_branch(memory: Memory, name: str) -> bool:
    """Whether a name is one that others are below, and nothing else is known of it."""
    column = memory.categories.find(name)
    if column is not None:
        category = memory.categories[column]
        if memory.entries.known[column] or category != place_of(category):
            return False
    return len(memory.categories.children(name)) > 0
