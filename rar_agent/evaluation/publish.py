"""From a run's folder to its report, whole or as far as it got."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from PIL import Image

from rar_agent.errors import RarError
from rar_agent.evaluation.datasets import load_dataset
from rar_agent.evaluation.metrics import Facts, Metric, SentenceModel, measure
from rar_agent.evaluation.metrics.curves import curves_of
from rar_agent.evaluation.report import Paths, write_report
from rar_agent.evaluation.run import read_run
from rar_agent.images import Policy, admit
from rar_agent.settings import Settings


def publish(folder: Path, settings: Settings) -> tuple[Paths, list[Metric]]:
    """Measure what a run wrote down, and write its report.

    Args:
        folder: The run's.
        settings: Where the data set is; without it the report has no pictures.

    Raises:
        NotFoundError: It is no run's folder.
        DamagedDataError: Its journal cannot be read.
        InputError: The report cannot be written.
    """
    run, records, failed = read_run(folder)
    cells = run["cells"]
    misses = Counter(cells[entry.key.partition("/")[0]]["name"] for entry in failed)
    facts = Facts(
        known={cell["name"]: cell["known"] for cell in cells.values()},
        rare=frozenset(run["dataset"]["rare"]),
        failed=dict(misses),
    )
    guessed = run["suite"]["protocol"]["kind"] == "vocabulary-free"
    metrics = measure(records, facts, SentenceModel() if guessed else None)
    picture = _Pictures(run["suite"]["dataset"], settings)
    paths = write_report(
        folder, run, records, metrics, curves_of(records), picture, failed, settings.home
    )
    return paths, metrics


class _Pictures:
    """Pictures of a data set by key; none where it is not there any more."""

    def __init__(self, dataset: str | dict[str, object], settings: Settings) -> None:
        self._policy = Policy.of(settings)
        try:
            data = load_dataset(dataset, settings)
            self._files = {one.key: one.file for one in (*data.test, *data.train)}
        except RarError:
            self._files = {}

    def __call__(self, sample: str) -> Image.Image | None:
        file = self._files.get(sample)
        try:
            return admit(file, self._policy).rgb if file else None
        except RarError:
            return None
