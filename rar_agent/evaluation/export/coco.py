"""A run as files in COCO's format, on which pycocotools and lvis give the report's figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rar_agent.errors import DamagedDataError, InputError
from rar_agent.evaluation.annotations import LOST, against, lost, read_annotations
from rar_agent.evaluation.export.lines import not_written
from rar_agent.evaluation.metrics.results import results_of
from rar_agent.evaluation.report.samples import ways_of
from rar_agent.evaluation.run import read_run


def write_coco(folder: Path, out: Path | None = None) -> Path:
    """Write what the average precisions of a run are of: a folder a cell.

    In it are `annotations.json`, with what the answers are measured against, and `results-WAY.json`
    of each way that gives probabilities: the two files that the official tools take.

    Args:
        folder: The run's.
        out: Folder to write to; default: `coco` in the run's folder.

    Returns:
        The folder.

    Raises:
        NotFoundError: It is no run's folder.
        DamagedDataError: Its journal or its annotations cannot be read, or those are not there.
        InputError: It is no run of boxes, or a file cannot be written.
    """
    described, records, _ = read_run(folder)
    if not any(record.box for record in records):
        raise InputError(f"'{folder}' is of no boxes.", "Export it --to jsonl.")
    annotations, out = read_annotations(folder), out or folder / "coco"
    if lost(described, annotations):
        raise DamagedDataError(
            f"Of '{folder}', {LOST}.", "Run the suite again with the same --out."
        )
    for slug, cell in described["cells"].items():
        some = [record for record in records if record.cell == cell["name"]]
        if not some:
            continue
        truths = against(some, annotations)
        _write(out / slug / "annotations.json", truths)
        for way in ways_of(some):
            answers = (getattr(record, way) for record in some)
            if any(answer.probabilities for answer in answers if answer):
                _write(out / slug / f"results-{way}.json", results_of(some, way, truths))
    return out


def _write(file: Path, data: Any) -> None:  # noqa: ANN401 - plain data
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(data, ensure_ascii=False), "utf-8")
    except OSError as error:
        raise not_written(file, error) from error
