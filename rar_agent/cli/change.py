"""`rar-agent memory update | rename | merge | move | remove | delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.cli.options import Name, NoFit, pairs
from rar_agent.errors import InputError

if TYPE_CHECKING:
    from rar_agent.memory import Memory
    from rar_agent.memory.teaching.change import LoadEncoder
    from rar_agent.settings import Settings


def update(
    name: Name,
    category: Annotated[
        str, typer.Argument(metavar="CATEGORY", help="Or a branch.", show_default=False)
    ],
    alias: Annotated[
        list[str] | None,
        typer.Option(help="Other name, in place of the old ones; may be repeated; '' for none."),
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="One sentence that tells it from its neighbours.")
    ] = None,
    parent: Annotated[
        str | None, typer.Option(help="Name of the category or branch above it; '' for none.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Metadata, as JSON or text; may be repeated; KEY= removes it.",
        ),
    ] = None,
) -> None:
    """Change what is said of a category, or of a branch."""
    from rar_agent.memory import update_category

    if alias is None and description is None and parent is None and not set_:
        raise InputError(
            "Nothing to change is given.", "Give --alias, --description, --parent or --set."
        )
    settings = _settings()
    memory = update_category(
        settings.home,
        name,
        category,
        _loader(settings, name),
        aliases=None if alias is None else [a for a in alias if a.strip()],
        description=description,
        parent=parent,
        metadata=pairs(set_, "--set") if set_ else None,
    )
    _print_category(memory, category)


def rename(
    name: Name,
    old: Annotated[str, typer.Argument(metavar="OLD", help="Category or branch.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
) -> None:
    """Give a category or a branch another name; what is below it follows."""
    from rar_agent.memory import rename_category

    settings = _settings()
    memory = rename_category(settings.home, name, old, new, _loader(settings, name))
    _print_category(memory, new)


def merge(
    name: Name,
    categories: Annotated[
        list[str], typer.Argument(metavar="CATEGORY", help="They become part of it.")
    ],
    into: Annotated[str, typer.Option(help="The category that stays.")],
    no_fit: NoFit = False,
) -> None:
    """Make one category of several: all exemplars, and the others' names as aliases."""
    from rar_agent.memory import merge_categories

    settings = _settings()
    memory = merge_categories(
        settings.home,
        name,
        categories,
        into,
        _loader(settings, name),
        "never" if no_fit else "auto",
    )
    _print_category(memory, into)
    _print_left(memory)


def move(
    name: Name,
    entry: Annotated[
        list[int], typer.Option(help="Id, as memory show --category says; may be repeated.")
    ],
    to: Annotated[str, typer.Option(help="The category that they belong to.")],
    no_fit: NoFit = False,
) -> None:
    """Give exemplars to another category, as after a wrong label."""
    from rar_agent.memory import move_entries

    memory = move_entries(_settings().home, name, entry, to, "never" if no_fit else "auto")
    _print_category(memory, to)
    _print_left(memory)


def remove(
    name: Name,
    categories: Annotated[
        list[str] | None, typer.Argument(metavar="CATEGORY", help="To forget.")
    ] = None,
    entry: Annotated[
        list[int] | None, typer.Option(help="Entry to forget; may be repeated.")
    ] = None,
    no_fit: NoFit = False,
) -> None:
    """Forget whole categories, or single entries."""
    from rar_agent.memory import remove_from_memory

    if not categories and not entry:
        raise InputError("Nothing to forget is named.", "Name categories, or --entry ID.")
    memory = remove_from_memory(
        _settings().home, name, categories or [], entry or [], "never" if no_fit else "auto"
    )
    _print_left(memory)


def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a memory and all it knows."""
    from rar_agent.memory import delete_memory

    if not yes:
        typer.confirm(f"Delete memory '{name}' and all it knows?", abort=True)
    delete_memory(_settings().home, name)


def _settings() -> Settings:
    from rar_agent.settings import load_settings

    return load_settings()


def _loader(settings: Settings, name: str) -> LoadEncoder:
    """Loads the memory's encoder, if texts have to be encoded again."""
    from rar_agent.encoders import load_encoder
    from rar_agent.memory import open_memory

    return lambda: load_encoder(open_memory(settings.home, name).manifest.encoder.name, settings)


def _print_category(memory: Memory, name: str) -> None:
    from rar_agent.cli.show import out
    from rar_agent.cli.vocabulary import said_of

    out.print(said_of(memory, name), soft_wrap=True)


def _print_left(memory: Memory) -> None:
    from rar_agent.cli.show import counted, out
    from rar_agent.cli.tables import staleness

    left = f"{counted(len(memory.categories), 'category')}, {counted(len(memory.entries), 'entry')}"
    out.print(f"{memory.name}: {left} left")
    if memory.changed:
        out.print(staleness(memory), soft_wrap=True)
