"""The commands, put together.

Exit status: 0 done; 1 some images failed; 2 bad input; 3 settings or installation; 4 the model's
provider; 5 damaged data; 70 a bug; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rar_agent.cli import (
    detect,
    doctor,
    evaluate,
    finetune,
    mcp,
    memory,
    prompts,
    recognize,
    ui,
)
from rar_agent.errors import RarError


class _Group(TyperGroup):
    """Ends as it is interrupted, which Typer would do without a word."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as Typer has it
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            sys.exit(130)
        except BrokenPipeError:  # the reader of the output left, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)


app = typer.Typer(
    cls=_Group,
    name="rar-agent",
    help="Recognise which one exactly it is, among thousands of categories.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("recognize")(recognize.recognize)
app.command("detect")(detect.detect)
app.command("ui")(ui.ui)
app.command("mcp")(mcp.mcp)
app.command("doctor")(doctor.doctor)
app.add_typer(memory.app, name="memory")
app.add_typer(prompts.app, name="prompts")
app.add_typer(finetune.app, name="finetune")
app.add_typer(evaluate.app, name="eval")


def _version(asked: bool) -> None:
    if asked:
        from rar_agent import __version__

        typer.echo(f"rar-agent {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version
    from rar_agent.settings import load_settings
    from rar_agent.telemetry import start

    with suppress(RarError):  # of settings: the command itself says so, if it has any
        start(load_settings())


def main() -> None:
    """Run the command line; never shows a traceback, unless RAR_DEBUG is set."""
    try:
        app()
    except RarError as error:
        typer.echo(f"error: {error.message}", err=True)
        if error.fix:
            typer.echo(f"  fix: {error.fix}", err=True)
        sys.exit(error.exit_code)
    except Exception as error:  # the last line of defence of the command line
        if os.environ.get("RAR_DEBUG"):
            traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
        typer.echo(f"bug: {reason}\n  fix: Please report it, with RAR_DEBUG=1 set.", err=True)
        sys.exit(70)
