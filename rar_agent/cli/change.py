"""`rar-agent memory update | rename | merge | move | remove | delete`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.cli.options import Name, NoFit, pairs
from rar_agent.errors import InputError, RarError

if TYPE_CHECKING:
    from rar_agent.memory import Memory
    from rar_agent.memory.format.manifest import Manifest
    from rar_agent.memory.teaching.update import LoadEncoder
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
    before = _scored(settings, name)
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
    _print_scoring(before, memory)


def rename(
    name: Name,
    old: Annotated[str, typer.Argument(metavar="OLD", help="Category or branch.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
) -> None:
    """Give a category or a branch another name; what is below it follows."""
    from rar_agent.memory import rename_category

    settings = _settings()
    before = _scored(settings, name)
    memory = rename_category(settings.home, name, old, new, _loader(settings, name))
    _print_category(memory, new)
    _print_scoring(before, memory)


def merge(
    name: Name,
    categories: Annotated[
        list[str], typer.Argument(metavar="CATEGORY", help="They become part of it.")
    ],
    into: Annotated[str, typer.Option(help="The category that stays; one that there is.")],
    no_fit: NoFit = False,
) -> None:
    """Make one category of several: all exemplars, and the others' names as aliases."""
    from rar_agent.memory import merge_categories

    settings = _settings()
    before = _scored(settings, name)
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
    _print_scoring(before, memory)


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

    settings = _settings()
    before = _scored(settings, name)
    memory = move_entries(
        settings.home, name, entry, to, _loader(settings, name), "never" if no_fit else "auto"
    )
    _print_category(memory, to)
    _print_left(memory)
    _print_scoring(before, memory)


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
    settings = _settings()
    before = _scored(settings, name)
    memory = remove_from_memory(
        settings.home, name, categories or [], entry or [], "never" if no_fit else "auto"
    )
    _print_left(memory)
    _print_scoring(before, memory)


def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a memory and all it knows."""
    from rar_agent.cli.show import out
    from rar_agent.memory import delete_memory
    from rar_agent.memory.teaching.teach import require_there

    home = _settings().home
    require_there(home, name)
    if not yes:
        typer.confirm(f"Delete memory '{name}' and all it knows?", abort=True)
    held = _held(home, name)
    delete_memory(home, name)
    out.print(f"deleted {name}: {held}")


def _settings() -> Settings:
    from rar_agent.settings import load_settings

    return load_settings()


def _held(home: Path, name: str) -> str:
    """What a memory has, as far as it can be opened; an interrupted build too."""
    from rar_agent.cli.show import contents
    from rar_agent.memory import memory_folder
    from rar_agent.memory.format.generation import read_manifest
    from rar_agent.memory.open import open_generation

    folder = memory_folder(home, name)
    try:
        return contents(open_generation(folder, read_manifest(folder)))
    except (RarError, OSError, ValueError):  # whatever is wrong with it: deleted all the same
        return "it could not be opened"


def _scored(settings: Settings, name: str) -> str:
    """How a memory is scored, in two words, to be compared after a change."""
    from rar_agent.memory import memory_folder
    from rar_agent.memory.format.generation import read_manifest

    return _scoring(read_manifest(memory_folder(settings.home, name)))


def _scoring(manifest: Manifest) -> str:
    from rar_agent.memory.describe import describe_method

    method = describe_method(manifest, "fitted", ()).partition(":")[0]
    fitted = manifest.fit is not None and manifest.fit.calibrated
    calibrated = fitted and manifest.prior is None  # which no calibration was measured with
    return f"{method}, {'calibrated' if calibrated else 'not calibrated'}"


def _print_scoring(before: str, memory: Memory) -> None:
    """One line where a change made the scoring another, or cost or brought the calibration."""
    from rar_agent.cli.show import out

    after = _scoring(memory.manifest)
    if after != before:
        out.print(f"scoring chosen anew: {after} (before: {before})", soft_wrap=True)


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
    from rar_agent.cli.show import contents, out
    from rar_agent.cli.tables import staleness

    out.print(f"{memory.name}: {contents(memory)} left")
    if memory.changed:
        out.print(staleness(memory), soft_wrap=True)
