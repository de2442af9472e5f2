"""How teaching looks in a terminal: what it will need, and what it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from rar_agent.cli.show import err, out
from rar_agent.cli.tables import scoring
from rar_agent.errors import InputError
from rar_agent.words import counted, size

if TYPE_CHECKING:
    from rar_agent.memory import Estimate, Report

LISTED = 20
"""Failures and conflicts that are shown; a file has them all."""


def estimate(needed: Estimate) -> Text:
    """What a build will need, and a warning where there is not enough."""
    images = (
        "an unknown number of images" if needed.images is None else counted(needed.images, "image")
    )
    disk = "" if needed.disk_bytes is None else f"{size(needed.disk_bytes)} on disk, "
    ram = f"up to {size(needed.ram_bytes)} of memory"
    text = Text(f"learning {images}: {disk}{ram} beside the encoder", style="dim")
    if not needed.fits:
        free = f"{size(needed.free_disk)} of disk"
        if needed.free_ram is not None:
            free += f" and {size(needed.free_ram)} of memory"
        warning = f"\nwarning: this may not fit: {free} are free, and while segments are merged "
        text.append(f"{warning}twice the disk is needed", style="yellow")
    return text


def print_report(report: Report, file: Path | None) -> None:
    """Show what teaching did; write all that was left out to a file, if one is named.

    Raises:
        InputError: The file cannot be written.
    """
    memory = report.memory
    if memory is None:
        return
    known = f", {report.known:,} known already" if report.known else ""
    learnt = (
        f"{counted(report.added, 'image')} learnt{known}"
        if report.added or report.known
        else "by name"
    )
    out.print(f"{memory.name}: {counted(memory.category_count, 'category')}, {learnt}")
    if memory.has_texts and not memory.manifest.encoder.names_help:
        rough = "texts of this encoder are rough (everyday things only); see docs/encoders.md"
        err.print(f"note: {rough}", style="yellow")
    out.print(scoring(memory), soft_wrap=True)
    left_out = [
        f.error if f.source in f.error else f"{f.source}: {f.error}" for f in report.failures
    ]
    _list("left out", left_out, report.failed)
    same = "another category has the same image"
    conflicts = [f"{source}: {same}" for source in report.conflicts]
    _list("conflict", conflicts, report.conflicting)
    if file:
        _write(report, file)
    out.print(f"next: rar-agent recognize IMAGE --memory {memory.name}", style="dim")


def _list(what: str, lines: list[str], count: int) -> None:
    for line in lines[:LISTED]:
        err.print(f"{what}: {line}", style="yellow", soft_wrap=True)
    if count > LISTED:
        more = f"… and {count - LISTED:,} more {what}; --report FILE.jsonl writes them to a file"
        err.print(more, style="yellow", soft_wrap=True)


def _write(report: Report, file: Path) -> None:
    failures = [{"what": "left out", **failure.model_dump()} for failure in report.failures]
    conflicts = [{"what": "conflict", "source": source} for source in report.conflicts]
    lines = [json.dumps(line) + "\n" for line in [*failures, *conflicts]]
    try:
        file.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"The memory is taught, but '{file}' cannot be written: {error.strerror}.",
            "Name a file in a folder there is.",
        ) from error
    err.print(f"report: {file}", style="dim", soft_wrap=True)
