"""How a tree of categories looks in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    from rar_agent.memory import Memory


def tree(memory: Memory, limit: int) -> Tree:
    """The memory's tree, with the numbers of categories and exemplars below each branch.

    Args:
        memory: Opened.
        limit: Rows shown of each branch.
    """
    categories, counts = memory.categories, memory.entries.counts("image")
    root = Tree(_line(memory.name, len(categories), memory.image_count))
    tops = [name for name in memory.taxonomy.branches() if not _parent(memory, name)]
    alone = [c.name for c in categories if not c.parent and c.name not in set(tops)]
    waiting: list[tuple[Tree, list[str]]] = [(root, tops + alone)]
    while waiting:
        node, names = waiting.pop()
        for name in names[:limit]:
            below = [categories[int(column)].name for column in categories.children(name)]
            columns = memory.taxonomy.below(name)
            count = int(counts[columns].sum())
            own = node.add(_line(name, len(columns) if below else None, count))
            waiting.append((own, below))
        if len(names) > limit:
            node.add(Text(f"… and {len(names) - limit} more; --limit shows them", style="dim"))
    return root


def _parent(memory: Memory, name: str) -> str:
    column = memory.categories.find(name)
    return memory.categories[column].parent if column is not None else ""


def _line(name: str, categories: int | None, exemplars: int) -> Text:
    counts = f"{categories:,} categories, " if categories is not None else ""
    return Text(name).append(f"  {counts}{exemplars:,} exemplars", style="dim")
