"""`rar-agent memory list | show | verify | plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from rar_agent.errors import DamagedDataError, InputError


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
            f"{len(memory.categories):,}",
            f"{len(memory.entries):,}",
            memory.manifest.domain,
            memory.manifest.encoder.name,
        )
    out.print(table)
    for reason in unusable:
        out.print(reason, style="yellow", soft_wrap=True)
    out.print(f"in {settings.home}", style="dim", soft_wrap=True)


def show(
    name: str,
    category: Annotated[
        str | None, typer.Option(help="Show this category or branch, and its entries.")
    ] = None,
    tree: Annotated[bool, typer.Option("--tree", help="Show the tree of categories.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows to show; in a tree, of a branch.")] = 20,
) -> None:
    """Show what a memory knows, how it scores, and how sure it is."""
    from rar_agent.cli import tables
    from rar_agent.cli.show import out
    from rar_agent.cli.tree import tree as tree_of
    from rar_agent.memory import open_memory
    from rar_agent.settings import load_settings

    memory = open_memory(load_settings().home, name)
    if category is not None:
        out.print(tables.said_of(memory, category), soft_wrap=True)
        out.print(tables.known_of(memory, category, limit))
    elif tree:
        out.print(tree_of(memory, limit))
    else:
        out.print(tables.identity(memory), soft_wrap=True)
        out.print(tables.scoring(memory), soft_wrap=True)
        out.print(tables.promises(memory))
        out.print(tables.segments(memory))
        out.print(tables.categories(memory, limit))


def verify(name: str) -> None:
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


def plan(
    name: Annotated[str | None, typer.Argument(help="A memory; or give --count.")] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Images, and texts; default: the memory's.")
    ] = None,
    dimension: Annotated[
        int | None, typer.Option(min=1, help="Of a vector; default: the memory's.")
    ] = None,
    ram: Annotated[
        float | None, typer.Option(help="GB that indexes may use; default: half of the machine's.")
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(help="Share of the nearest entries that an index has to find; 1: all."),
    ] = None,
) -> None:
    """Say which index large memories get, what it costs, and what else was considered."""
    from rar_agent.cli.inputs import gigabytes
    from rar_agent.cli.show import out
    from rar_agent.cli.tables import plan_table
    from rar_agent.memory import open_memory
    from rar_agent.memory.index.plan import plan_index
    from rar_agent.memory.teaching.indexing import RAM_SHARE, RECALL, _ram
    from rar_agent.settings import load_settings
    from rar_agent.types import Modality

    counts: dict[Modality, int] = {"image": count or 0, "text": count or 0}
    asked_by: Modality = "image"
    if name is not None:
        memory = open_memory(load_settings().home, name)
        dimension = dimension or memory.manifest.dimension
        texts = len(memory.entries.rows("text")) if memory.has_texts else 0
        counts = {"image": count or memory.image_count, "text": texts and (count or texts)}
        asked_by = "text" if memory.has_texts else "image"  # as compaction does: the harder one
    if not any(counts.values()) or dimension is None:
        raise InputError(
            "Nothing to plan for is given." if name is None else f"'{name}' has no exemplars.",
            "Name a memory, or give --count and --dimension.",
        )
    budget = int(RAM_SHARE * _ram()) if ram is None else gigabytes(ram, "--ram")
    for modality, number in counts.items():
        if number:
            harder: Modality = "text" if "text" in (modality, asked_by) else "image"
            planned = plan_index(
                number, dimension, budget, RECALL if recall is None else recall, harder
            )
            out.print(plan_table(f"{modality}s", planned), soft_wrap=True)
