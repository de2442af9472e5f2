"""The paper's figures beside a run's own, and what differs between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from rar_agent.content import content_folders
from rar_agent.errors import ConfigurationError, NotFoundError
from rar_agent.evaluation.metrics.metric import Metric
from rar_agent.evaluation.report.chart import Bar
from rar_agent.evaluation.report.samples import style_of
from rar_agent.evaluation.report.tables import Cell, Table, Titles, cell
from rar_agent.evaluation.suite import Way


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Quoted(_Part):
    group: str
    method: str
    way: Way
    metric: str
    percent: tuple[float, ...]


class _Quotes(_Part):
    source: str
    setting: dict[str, str | int]
    datasets: dict[str, tuple[str, int | None]]
    figures: tuple[_Quoted, ...]

    @model_validator(mode="after")
    def _complete(self) -> _Quotes:
        if any(len(quoted.percent) != len(self.datasets) for quoted in self.figures):
            raise ValueError("a row has not one figure for each data set")
        return self


class _Paper(_Part):
    paper: str
    arxiv: str
    tables: dict[str, _Quotes]


@dataclass(frozen=True)
class Beside:
    """A column of the paper beside a run.

    Attributes:
        paper: Its title.
        arxiv: Its id there.
        source: Which of its tables.
        figures: Theirs and ours.
        differences: In what the two are not the same.
    """

    paper: str
    arxiv: str
    source: str
    figures: Table
    differences: Table


def beside_paper(
    row: str, run: Mapping[str, Any], ours: Sequence[Metric], titles: Titles, home: Path
) -> Beside:
    """What the paper says of what a run measured.

    Args:
        row: `TABLE/DATASET` of `evals/paper.yaml`.
        run: The run's description.
        ours: Its metrics.
        titles: How ways are called.
        home: RAR_HOME, which may hold a file of one's own.

    Raises:
        NotFoundError: There is no such row.
        ConfigurationError: The file cannot be read.
    """
    check_row(row, home)
    paper = _load(home)
    name, _, dataset = row.partition("/")
    quotes = paper.tables[name]
    column = list(quotes.datasets).index(dataset)
    found = {(metric.name.lower(), metric.cell, metric.way): metric for metric in ours}
    beside: list[tuple[str | Cell, ...]] = []
    for quoted in quotes.figures:
        mine = cell(found.get((quoted.metric.lower(), quoted.group, quoted.way)))
        note = ", ".join(filter(None, [titles[quoted.way], mine.note]))
        percent = quoted.percent[column]
        bar = Bar(percent / 100, style=style_of("knn"))
        their = Cell(f"{percent:.1f} %", f"{quoted.method}, as published", bar=bar)
        beside.append((f"{quoted.group}, {quoted.metric}", their, replace(mine, note=note)))
    return Beside(
        paper.paper,
        paper.arxiv,
        quotes.source,
        Table("The paper's figures and ours", ["", "theirs", "ours"], beside),
        _differences(quotes, dataset, run),
    )


def check_row(row: str, home: Path) -> None:
    """See whether the paper has a row.

    Raises:
        NotFoundError: It has not.
        ConfigurationError: The file cannot be read.
    """
    if row not in (rows := paper_rows(home)):
        raise NotFoundError(
            f"evals/paper.yaml has no row '{row}'.", f"Say beside: one of {', '.join(rows)}."
        )


def paper_rows(home: Path) -> list[str]:
    """Rows of `evals/paper.yaml` that a suite may stand beside, as `TABLE/DATASET`.

    Args:
        home: RAR_HOME, which may hold a file of one's own.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    tables = _load(home).tables
    return [f"{name}/{dataset}" for name, table in tables.items() for dataset in table.datasets]


def _load(home: Path) -> _Paper:
    for folder in content_folders("evals", home):
        path = folder / "paper.yaml"
        if path.is_file():
            try:
                return _Paper.model_validate(yaml.safe_load(path.read_text("utf-8")))
            except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
                raise ConfigurationError(
                    f"'{path}' cannot be read: {error}.", "Correct it."
                ) from error
    raise ConfigurationError("There is no evals/paper.yaml.", "Install rar-agent again.")


def _differences(quotes: _Quotes, dataset: str, run: Mapping[str, Any]) -> Table:
    title, test = quotes.datasets[dataset]
    theirs = {"data set": title, "test images": f"{test:,}" if test else "", **quotes.setting}
    ours = _setting(run)
    same_data = run["dataset"]["name"] == dataset
    rows: list[tuple[str | Cell, ...]] = []
    for part, their in theirs.items():
        our = ours.get(part, "")
        same = same_data if part == "data set" else str(their) == our
        mark = "= same" if same else "≠ differs" if their else "? not said"
        rows.append((part, Cell(mark), Cell(str(their) or "not said"), Cell(our)))
    return Table("What differs", ["", "same?", "theirs", "ours"], rows)


def _setting(run: Mapping[str, Any]) -> dict[str, str]:
    suite, dataset = run["suite"], run["dataset"]
    protocol, limit = suite["protocol"], suite["limit"]
    seeds = ", ".join(map(str, protocol.get("seeds", ())))
    test = f"{dataset['test']:,}"
    return {
        "data set": dataset["title"] or dataset["name"],
        "test images": f"{limit:,} of {test}" if limit and limit < dataset["test"] else test,
        "protocol": protocol["kind"],
        "exemplars": f"drawn by the seeds {seeds}" if seeds else "none",
        "encoder": run["encoder"]["name"],
        "model": suite["ranker"]["model"] or "none",
        "k": str(suite["k"]),
    }
