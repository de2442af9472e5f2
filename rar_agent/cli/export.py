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
    coco = "coco"


def export(
    folder: RunFolder,
    to: Annotated[Target, typer.Option(help="What reads it.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="File of jsonl and inspect, folder of coco; default: in FOLDER."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of LangSmith's data set; default: the suite's and the run's."),
    ] = None,
    images: Annotated[
        bool, typer.Option("--images", help="Send the pictures to LangSmith too.")
    ] = False,
) -> None:
    """Give a run to LangSmith as a data set, to Inspect as a log, to anything as JSON lines.

    Boxes also as annotations and results in COCO's format, for pycocotools and lvis.

    Only langsmith sends anything, and says what first.
    """
    from rar_agent.cli.progress import busy
    from rar_agent.cli.show import err
    from rar_agent.cli.show import out as console
    from rar_agent.errors import InputError
    from rar_agent.evaluation.export import (
        prepare_upload,
        write_coco,
        write_inspect_log,
        write_lines,
    )
    from rar_agent.settings import load_settings
    from rar_agent.words import counted

    if to is not Target.langsmith:
        if images or name:
            raise InputError("--images and --name are for LangSmith.", "Add --to langsmith.")
        write = {
            Target.jsonl: write_lines,
            Target.inspect: write_inspect_log,
            Target.coco: write_coco,
        }[to]
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
