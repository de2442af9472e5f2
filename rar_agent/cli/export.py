"""`rar-agent eval export`: a run for other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rar_agent.cli.options import RunFolder


class Target(StrEnum):
    """Whom a run is for."""

    langsmith = "langsmith"
    inspect = "inspect"
    jsonl = "jsonl"


def export(
    folder: RunFolder,
    to: Annotated[Target, typer.Option(help="What reads it.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of jsonl and inspect; default: in the run's folder."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of LangSmith's data set; default: the suite's and the run's."),
    ] = None,
    images: Annotated[
        bool, typer.Option("--images", help="Send the pictures to LangSmith too.")
    ] = False,
) -> None:
    """Give a run to LangSmith as a data set, to Inspect as a log, or to anything as JSON lines.

    Only langsmith sends anything, and says what first.
    """
    from rar_agent.cli.progress import busy
    from rar_agent.cli.show import err
    from rar_agent.cli.show import out as console
    from rar_agent.errors import InputError
    from rar_agent.evaluation.export import prepare_upload, write_inspect_log, write_lines
    from rar_agent.settings import load_settings
    from rar_agent.words import counted

    if to is not Target.langsmith:
        if images or name:
            raise InputError("--images and --name are for LangSmith.", "Add --to langsmith.")
        write = write_lines if to is Target.jsonl else write_inspect_log
        console.print(f"written: {write(folder, out)}", soft_wrap=True)
        return
    if out is not None:
        raise InputError("LangSmith writes no file.", "Leave --out out, or add --to jsonl.")
    upload = prepare_upload(folder, load_settings(), name, images)
    err.print(upload.leaves, soft_wrap=True)
    with busy("sending"):
        sent, place = upload.send()
    known = f", {len(upload.records) - sent:,} were there" if sent < len(upload.records) else ""
    console.print(f"{counted(sent, 'example')} sent{known}: {place}", soft_wrap=True)
