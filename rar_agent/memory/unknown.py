"""The error for a name that no category has, and who may have been meant."""

from __future__ import annotations

from rar_agent.errors import NotFoundError
from rar_agent.memory.memory import Memory
from rar_agent.memory.taxonomy import alike


def unknown(
    memory: Memory, name: str, branches: bool = False, more: str = "", otherwise: str = ""
) -> NotFoundError:
    """The error.

    Args:
        memory: That has no category of the name.
        name: As it was given.
        branches: Whether a branch's name would do.
        more: What else helps.
        otherwise: What to do where no name is like it; default: the command that shows them.
    """
    folded = name.casefold()
    owners = [
        category.name
        for category in memory.categories
        if any(alias.casefold() == folded for alias in category.aliases)
    ]
    what, meant = "", owners[:3]
    if owners:
        named = "' and '".join(meant)
        what, more = f": it is an alias of '{named}'", ""
    else:
        owner = {alias: one.name for one in memory.categories for alias in one.aliases}
        owner |= {one.name: one.name for one in memory.categories}
        near = alike(name, [*owner, *(memory.taxonomy.branches() if branches else ())])
        meant = list(dict.fromkeys(owner.get(one, one) for one in near))
    hints = [f"Did you mean {', '.join(meant)}?"] if meant else []
    hints += [more] if more else []
    return NotFoundError(
        f"Memory '{memory.name}' has no category '{name}'{what}.",
        " ".join(hints) or otherwise or f"See rar-agent memory show {memory.name}",
    )
