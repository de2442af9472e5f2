"""`rar-agent memory migrate`."""

from __future__ import annotations

from typing import Annotated

import typer

from rar_agent.cli.options import Name
from rar_agent.errors import DamagedDataError


def migrate(
    name: Name,
    to: Annotated[
        str, typer.Option(metavar="TARGET", help="milvus://host:19530/name, or a name here.")
    ],
    index: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="Index that Milvus gets: FLAT, IVF_FLAT, HNSW, IVF_PQ, DISKANN; default: by size.",
        ),
    ] = "",
) -> None:
    """Copy a memory to Milvus, or from there, and compare; interrupted, it goes on."""
    from rar_agent.cli.progress import Bar, busy
    from rar_agent.cli.show import contents, grid, out
    from rar_agent.scale.milvus.compare import compare
    from rar_agent.scale.milvus.migrate import migrate as copied
    from rar_agent.settings import load_settings

    again = "What was copied is kept: run the same command again, and it goes on."
    with Bar("copying", "writing", again) as bar:
        source, copy = copied(load_settings().home, name, to, bar.update, index)
    with busy("comparing"):
        checks = compare(source, copy)
    table = grid("compared", "found", "")
    for check in checks:
        table.add_row(check.what, check.found, "fine" if check.fine else "WRONG")
    out.print(f"{copy.name}: {contents(copy)}", soft_wrap=True)
    out.print(table)
    if wrong := [check.what for check in checks if not check.fine]:
        raise DamagedDataError(
            f"'{copy.name}' is not the same as '{source.name}': {', '.join(wrong)}.",
            f"Look what is wrong, rar-agent memory verify {copy.name}, delete it, migrate again.",
        )
    out.print(f"next: rar-agent recognize IMAGE --memory {copy.name}", style="dim", soft_wrap=True)
