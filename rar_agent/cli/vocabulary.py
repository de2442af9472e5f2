"""How a memory's categories look in a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from rar_agent.cli.show import grid
from rar_agent.words import counted

if TYPE_CHECKING:
    from rar_agent.memory import Memory


def categories(memory: Memory, limit: int) -> Group:
    """Its first categories."""
    table = grid("category", "exemplars>", "evidence")
    for column in np.flatnonzero(memory.entries.known)[:limit].tolist():
        count = f"{memory.exemplar_count(column):,}"
        name = memory.categories[column].name
        table.add_row(name, count, ", ".join(memory.evidence(column)))
    return Group(table, *_more(memory.category_count, limit))


def said_of(memory: Memory, name: str) -> Text:
    """What is said of a category or a branch.

    Raises:
        NotFoundError: There is none of that name.
    """
    column, below = _find(memory, name)
    text = Text(name, style="bold")
    branch = column is None or not memory.entries.known[column]
    if branch:
        text.append(f"\nbranch with {counted(below, 'category')} below it", style="dim")
    if column is None:
        return text
    category = memory.categories[column]
    said = {
        "also": ", ".join(category.aliases),
        "is": category.description,
        "in": " < ".join(memory.taxonomy.above(column)),
        "has": ", ".join(
            f"{key}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
            for key, value in category.metadata.items()
        ),
        "below it": counted(below, "category") if below and not branch else "",
    }
    for word, value in said.items():
        if value:
            text.append(f"\n{word}: {value}", style="dim")
    return text


def known_of(memory: Memory, name: str, limit: int) -> Group:
    """The entries of a category; of a branch, the categories right below it.

    Raises:
        NotFoundError: There is none of that name.
    """
    column, _ = _find(memory, name)
    if column is None or not memory.entries.known[column]:
        table = grid("category", "exemplars>")
        below = memory.categories.children(name)
        for child in below[:limit].tolist():
            known = memory.entries.known[child]
            count = f"{memory.exemplar_count(child):,}" if known else "branch"
            table.add_row(memory.categories[child].name, count)
        return Group(table, *_more(len(below), limit))
    table = grid("entry>", "modality", "source")
    entries = memory.entries_of(column)
    for entry in entries[:limit]:
        table.add_row(str(entry.id), entry.modality, entry.source)
    return Group(table, *_more(len(entries), limit))


def _find(memory: Memory, name: str) -> tuple[int | None, int]:
    """Position of what is on record, None of a mere name, and how many categories are below it."""
    from rar_agent.memory.unknown import unknown

    column, below = memory.categories.find(name), memory.taxonomy.below(name)
    if not len(below):
        raise unknown(memory, name, branches=True)
    return column, int(memory.entries.known[below[below != column]].sum())


def _more(count: int, limit: int) -> list[Text]:
    if count <= limit:
        return []
    return [Text(f"… and {count - limit:,} more; --limit shows them", style="dim")]


def tree(memory: Memory, limit: int) -> Tree:
    """The memory's tree, with the numbers of categories and exemplars below each branch.

    Args:
        memory: Opened.
        limit: Rows shown of each branch.
    """
    categories, counts = memory.categories, memory.entries.counts("image")
    known = memory.entries.known
    root = Tree(_line(memory.name, memory.category_count, memory.image_count))
    tops = dict.fromkeys(n for n in memory.taxonomy.branches() if not _parent(memory, n))
    tops |= dict.fromkeys(category.name for category in categories if not category.parent)
    waiting: list[tuple[Tree, list[str]]] = [(root, list(tops))]
    while waiting:
        node, names = waiting.pop()
        for name in names[:limit]:
            below = [categories[column].name for column in memory.taxonomy.children(name)]
            columns = memory.taxonomy.below(name)
            count = int(counts[columns].sum())
            own = node.add(_line(name, int(known[columns].sum()) if below else 0, count))
            waiting.append((own, below))
        if len(names) > limit:
            node.add(Text(f"… and {len(names) - limit:,} more; --limit shows them", style="dim"))
    return root


def _parent(memory: Memory, name: str) -> str:
    column = memory.categories.find(name)
    return memory.categories[column].parent if column is not None else ""


def _line(name: str, categories: int, exemplars: int) -> Text:
    counts = [counted(categories, "category")] if categories else []
    counts.append(counted(exemplars, "exemplar"))
    return Text(name).append(f"  {', '.join(counts)}", style="dim")
