"""A run as JSON lines: a line an image in a cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rar_agent.errors import InputError
from rar_agent.evaluation.annotations import ANNOTATIONS
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.report.samples import is_right, ways_of
from rar_agent.evaluation.run import DESCRIPTION, JOURNAL, read_run
from rar_agent.evaluation.suite import Way


def rights(record: Record) -> dict[Way, bool]:
    """Whether each way that answered has the truth first; empty where there is none."""
    found = {way: is_right(record, way) for way in ways_of([record])}
    return {way: right for way, right in found.items() if right is not None}


def write_lines(folder: Path, file: Path | None = None) -> Path:
    """Write every record of a run, and what failed, as JSON lines.

    Args:
        folder: The run's.
        file: Where to; default: `export.jsonl` in the run's folder.

    Returns:
        The file.

    Raises:
        NotFoundError: It is no run's folder.
        DamagedDataError: Its journal cannot be read.
        InputError: The file cannot be written.
    """
    file = file or folder / "export.jsonl"
    lines = list(_lines(folder))
    check_place(file, folder)
    whole = file.with_name(file.name + ".tmp")
    try:
        with whole.open("w", encoding="utf-8") as written:
            for line in lines:
                written.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        whole.replace(file)
    except OSError as error:
        raise not_written(file, error) from error
    return file


def check_place(file: Path, run: Path) -> None:
    """See that an export does not overwrite what it is made of.

    Raises:
        InputError: It would.
    """
    if file.resolve() in {(run / name).resolve() for name in (JOURNAL, DESCRIPTION, ANNOTATIONS)}:
        raise InputError(f"'{file}' is the run itself.", "Name another file.")


def not_written(file: Path, error: OSError) -> InputError:
    """That a file cannot be written."""
    return InputError(f"'{file}' cannot be written: {error.strerror or error}.", "Name another.")


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    described, records, failed = read_run(folder)
    of = {"suite": described["suite"]["name"], "run": described["configuration_hash"]}
    for record in records:
        yield {**of, **record.model_dump(mode="json"), "right": rights(record)}
    for entry in failed:
        slug, _, sample = entry.key.partition("/")
        yield {**of, "cell": described["cells"][slug]["name"], "sample": sample, **entry.result}
