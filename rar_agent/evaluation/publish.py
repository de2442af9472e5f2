"""From a run's folder to its report, whole or as far as it got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from rar_agent.errors import ConfigurationError, RarError
from rar_agent.evaluation.annotations import lost, read_annotations
from rar_agent.evaluation.datasets import load_dataset
from rar_agent.evaluation.metrics import Facts, Metric, SentenceModel, measure
from rar_agent.evaluation.metrics.curves import curves_of
from rar_agent.evaluation.pictures import read_image
from rar_agent.evaluation.report import Paths, write_report
from rar_agent.evaluation.report.thumbnails import Picture
from rar_agent.evaluation.report.write import cautions
from rar_agent.evaluation.run import read_run
from rar_agent.evaluation.suite import CropRecipe
from rar_agent.images import Policy
from rar_agent.settings import Settings


class Published(NamedTuple):
    """A report, and what it begins with.

    Attributes:
        paths: Where it is.
        metrics: Of every cell, and of the seeds together.
        cautions: What has to be said beside every figure.
        failures: Images that could not be answered, and why.
    """

    paths: Paths
    metrics: Sequence[Metric]
    cautions: Sequence[str]
    failures: Sequence[str] = ()


def publish(folder: Path, settings: Settings) -> Published:
    """Measure what a run wrote down, and write its report.

    Args:
        folder: The run's.
        settings: Where the data set is; without it the report has no pictures.

    Raises:
        NotFoundError: It is no run's folder.
        DamagedDataError: Its journal or its annotations cannot be read.
        InputError: The report cannot be written.
    """
    run, records, failed = read_run(folder)
    cells = run["cells"]
    misses = Counter(cells[entry.key.partition("/")[0]]["name"] for entry in failed)
    annotations = read_annotations(folder)
    facts = Facts(
        known={cell["name"]: cell["known"] for cell in cells.values()},
        rare=frozenset(run["dataset"]["rare"]),
        failed=dict(misses),
        annotations=annotations,
        lost=lost(run, annotations),
    )
    guessed = run["suite"]["protocol"]["kind"] == "vocabulary-free"
    metrics = measure(records, facts, _sentences() if guessed else None)
    picture = pictures_of(run["suite"], settings)
    paths = write_report(
        folder, run, records, metrics, curves_of(records), picture, failed, settings.home
    )
    said = cautions(run, len(records) + len(failed))
    return Published(paths, metrics, said, [f"{one.key}: {one.result['error']}" for one in failed])


def _sentences() -> SentenceModel | None:
    """For sACC, which says where there is none: a report of what was paid for comes first."""
    try:
        return SentenceModel()
    except ConfigurationError:
        return None


def pictures_of(suite: Mapping[str, Any], settings: Settings) -> Picture:
    """Pictures of a suite's data set by key; none where it is not there any more.

    Args:
        suite: As a run says it. Boxes are shown as it shows them, in whatever styles its cells do.
        settings: Where the data set is.
    """
    policy, style = Policy.of(settings), CropRecipe.model_validate(suite.get("crop", {})).style
    try:
        data = load_dataset(suite["dataset"], settings)
        files = {one.key: one for one in (*data.test, *data.train)}
    except RarError:
        files = {}

    def picture(sample: str) -> Image.Image | None:
        file = files.get(sample)
        try:
            return read_image(file, policy, style).rgb if file else None
        except RarError:
            return None

    return picture
