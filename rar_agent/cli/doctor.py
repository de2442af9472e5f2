"""`rar-agent doctor`."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="Ask the model four tiny questions, to find out what it takes."
        ),
    ] = False,
) -> None:
    """Look at what is installed, which encoder, memory and model; say what to do about each no."""
    from rich.text import Text

    from rar_agent.cli.show import out
    from rar_agent.doctor import examine
    from rar_agent.settings import load_settings

    marks = {"ok": ("ok", "green"), "note": ("note", "yellow"), "broken": ("broken", "red")}
    broken = False
    for check in examine(load_settings(), probe):
        word, colour = marks[check.state]
        broken = broken or check.state == "broken"
        line = Text(f"{word:7} ", style=colour).append(
            f"{check.what}: {check.found}", style="default"
        )
        out.print(line, soft_wrap=True)
        if check.fix:
            out.print(Text(f"        → {check.fix}", style="dim"), soft_wrap=True)
    if broken:
        raise typer.Exit(3)
