"""`rar-agent memory export | import | import-rar`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.cli.options import Domain, Name
from rar_agent.errors import ConfigurationError

if TYPE_CHECKING:
    from rar_agent.encoders import Encoder
    from rar_agent.memory import Memory
    from rar_agent.settings import Settings


def export(
    name: Name,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write it; a new or empty folder.")
    ],
) -> None:
    """Write a memory to a folder of Parquet, NumPy and JSON, which import takes back."""
    from rar_agent.cli.progress import Bar
    from rar_agent.cli.show import contents, out
    from rar_agent.memory import open_memory
    from rar_agent.memory.exchange.export import export_memory
    from rar_agent.settings import load_settings

    memory = open_memory(load_settings().home, name)
    with Bar("exporting", "hashing") as bar:
        export_memory(memory, folder, bar.update)
    out.print(f"{name}: {contents(memory)} in {folder}", soft_wrap=True)
    out.print(f"next: rar-agent memory import NEW_NAME {folder}", style="dim", soft_wrap=True)


def import_(
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What memory export wrote.")],
) -> None:
    """Make a memory of an exported folder; nothing is encoded, the scoring is chosen anew."""
    from rar_agent.cli.progress import Bar
    from rar_agent.memory.exchange.importing import import_memory
    from rar_agent.settings import load_settings

    with Bar("importing", "scoring") as bar:
        memory = import_memory(load_settings().home, name, folder, bar.update)
    _print(memory)


def import_rar(
    name: Name,
    index: Annotated[Path, typer.Option(help="The .index file, an IndexHNSWFlat.")],
    labels: Annotated[Path, typer.Option(help="The .txt file: a path and a class number a line.")],
    encoder: Annotated[
        str | None,
        typer.Option(help="What made its vectors; default: open_clip:ViT-B-16/openai."),
    ] = None,
    classnames: Annotated[
        Path | None, typer.Option(help="Names of classes 0, 1, …, a line each; default: folders'.")
    ] = None,
    domain: Domain = "",
    unverified: Annotated[
        bool,
        typer.Option("--unverified", help="Do not load the encoder: nothing can be asked then."),
    ] = False,
) -> None:
    """Make a memory of the index and labels that the paper's reference code wrote."""
    from rar_agent.cli.progress import busy
    from rar_agent.memory.exchange import rar
    from rar_agent.settings import load_settings

    settings, made_by = load_settings(), encoder or rar.ENCODER
    with busy("importing"):
        memory = rar.import_rar(
            settings.home,
            name,
            index,
            labels,
            made_by,
            classnames,
            domain,
            verify=None if unverified else _load(made_by, settings),
        )
    _print(memory)


def _load(name: str, settings: Settings) -> Encoder:
    from rar_agent.encoders import load_encoder

    try:
        return load_encoder(name, settings)
    except ConfigurationError as error:
        raise ConfigurationError(
            error.message,
            f"{error.fix} Or import without it, with --unverified: nothing can be asked then.",
        ) from error


def _print(memory: Memory) -> None:
    from rar_agent.cli.show import contents, out
    from rar_agent.cli.tables import scoring

    out.print(f"{memory.name}: {contents(memory)}")
    out.print(scoring(memory), soft_wrap=True)
