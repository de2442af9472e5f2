"""`rar-agent memory list | show | verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from rar_agent.cli.options import Name
from rar_agent.errors import DamagedDataError


def list_() -> None:
    """List the memories."""
    from rar_agent.cli.show import grid, out
    from rar_agent.errors import RarError
    from rar_agent.memory import list_memories, open_memory
    from rar_agent.settings import load_settings

    settings = load_settings()
    table = grid("name", "categories>", "entries>", "domain", "encoder")
    unusable = []
    for name in list_memories(settings.home):
        try:
            memory = open_memory(settings.home, name)
        except RarError as error:
            table.add_row(name, "", "", "not usable, see below", "")
            unusable.append(str(error))
            continue
        table.add_row(
            name,
            f"{memory.category_count:,}",
            f"{len(memory.entries):,}",
            memory.manifest.domain,
            memory.manifest.encoder.name,
        )
    out.print(table)
    for reason in unusable:
        out.print(reason, style="yellow", soft_wrap=True)
    out.print(f"in {settings.home}", style="dim", soft_wrap=True)


def show(
    name: Name,
    category: Annotated[
        str | None, typer.Option(help="Show this category or branch, and its entries.")
    ] = None,
    tree: Annotated[bool, typer.Option("--tree", help="Show the tree of categories.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows to show; in a tree, of a branch.")] = 20,
) -> None:
    """Show what a memory knows, how it scores, and how sure it is."""
    from rar_agent.cli import tables, vocabulary
    from rar_agent.cli.show import out
    from rar_agent.memory import open_memory
    from rar_agent.settings import load_settings

    memory = open_memory(load_settings().home, name)
    if category is not None:
        out.print(vocabulary.said_of(memory, category), soft_wrap=True)
        out.print(vocabulary.known_of(memory, category, limit))
    elif tree:
        out.print(vocabulary.tree(memory, limit))
    else:
        out.print(tables.identity(memory), soft_wrap=True)
        out.print(tables.scoring(memory), soft_wrap=True)
        for line in tables.rankers(memory) + tables.drifts(memory):
            out.print(line, soft_wrap=True)
        for part in (*tables.promises(memory), tables.segments(memory)):
            out.print(part, "")
        out.print(vocabulary.categories(memory, limit))


def verify(name: Name) -> None:
    """Hash every file of a memory and say what has changed."""
    from rar_agent.cli.show import out
    from rar_agent.memory import memory_folder, verify_memory
    from rar_agent.settings import load_settings

    settings = load_settings()
    wrong = verify_memory(settings.home, name)
    if wrong:
        folder = memory_folder(settings.home, name)
        fix = f"Restore {folder} from a copy, or begin anew: rar-agent memory delete {name}"
        raise DamagedDataError(" ".join(wrong), fix)
    out.print(f"{name}: every file is as it was written")
