"""The commands, put together.

Exit status: 0 done; 1 some images failed; 2 bad input; 3 settings or installation; 4 the model's
provider; 5 damaged data; 70 a bug; 130 interrupted.
"""

from __future__ import annotations

import atexit
import errno
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import typer

from rar_agent.cli.lazy import Later, LazyGroup, add_later
from rar_agent.errors import ConfigurationError, RarError
from rar_agent.garbage import keep_freed, leave_to_the_system

COMMANDS: Mapping[str, Later] = {
    "recognize": Later(
        "rar_agent.cli.recognize:recognize",
        "Recognise images: the best categories of a memory, with probabilities and evidence.",
    ),
    "detect": Later(
        "rar_agent.cli.detect:detect",
        "Recognise what is in each box of an image: labels, probabilities and evidence.",
    ),
    "ui": Later(
        "rar_agent.cli.ui:ui",
        "Serve a page to recognise, teach, browse memories and compare prompts.",
    ),
    "mcp": Later(
        "rar_agent.cli.mcp:mcp",
        "Serve recognize_image and memories over the Model Context Protocol.",
    ),
    "doctor": Later(
        "rar_agent.cli.doctor:doctor",
        "Look at what is installed, which encoder, memory and model; say what to do about each no.",
    ),
    "tune": Later(
        "rar_agent.cli.tune:tune",
        "Measure which engine, precision and batch encode fastest on this machine, and use them.",
    ),
    "memory": Later(
        "rar_agent.cli.memory:app", "Teach memories, change them, look at them, forget."
    ),
    "prompts": Later(
        "rar_agent.cli.prompts:app",
        "See, check, compare and write the prompts that a model is asked with.",
    ),
    "finetune": Later(
        "rar_agent.cli.finetune:app", "Train a ranking model on a memory's own exemplars."
    ),
    "eval": Later("rar_agent.cli.evaluate:app", "Measure how well it recognises."),
}

_SERVERS = frozenset({"mcp", "ui"})
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class _Group(LazyGroup):
    """Ends as it is interrupted, which Typer would do without a word."""

    later = COMMANDS

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
add_later(app, COMMANDS)


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


def _tell(wrong: str) -> None:
    """What went wrong, without keys."""
    from rar_agent.telemetry import redacted

    typer.echo(redacted(wrong), err=True)


def main() -> None:
    """Run the command line; never shows a traceback, unless RAR_DEBUG is set."""
    # Before torch and NumPy: their threads would else spin while they wait for work, on cores
    # that threads which read images need.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    if _SERVERS.isdisjoint(sys.argv[1:2]):
        keep_freed()
    atexit.register(leave_to_the_system)
    try:
        app()
    except RarError as error:
        _tell(f"error: {error.message}")
        if error.fix:
            _tell(f"  fix: {error.fix}")
        sys.exit(error.exit_code)
    except Exception as error:  # the last line of defence of the command line
        if isinstance(error, OSError) and error.errno in _UNWRITABLE:
            _tell(f"error: '{error.filename or 'the output'}' cannot be written: {error.strerror}.")
            _tell("  fix: Make room, or choose a folder that can be written.")
            sys.exit(ConfigurationError.exit_code)
        if os.environ.get("RAR_DEBUG"):
            _tell(traceback.format_exc())
        reason = f"{type(error).__name__}: {error}"
        _tell(f"bug: {reason}\n  fix: Please report it, with RAR_DEBUG=1 set.")
        sys.exit(70)
