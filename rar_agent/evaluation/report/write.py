"""Writing a run's report: a page, Markdown, JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rar_agent.batch import Entry
from rar_agent.errors import InputError
from rar_agent.evaluation.metrics import Metric
from rar_agent.evaluation.metrics.columns import group_of
from rar_agent.evaluation.metrics.curves import Curves
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.report.charts import category_tables, charts_of
from rar_agent.evaluation.report.page import (
    PAIRS,
    confused_samples,
    drawn,
    pair_of,
    pairs_say,
    render,
    thumbnails_say,
)
from rar_agent.evaluation.report.paper import Beside, beside_paper
from rar_agent.evaluation.report.samples import errors_first, main_way, ways_of
from rar_agent.evaluation.report.tables import (
    Cell,
    Table,
    escaped,
    markdown,
    metric_tables,
    titles_of,
)
from rar_agent.evaluation.report.thumbnails import PICTURES, Picture, make_thumbnails
from rar_agent.evaluation.simulated import PREFIX
from rar_agent.words import counted

_GUESSED = ("cACC", "sACC")
"""Metrics that the summary has where names were guessed, and nowhere else."""
_SUMMARY = (
    "top-1",
    *_GUESSED,
    "top-5",
    "recall@k",
    "macro top-1",
    "ECE",
    "AURC",
    "cost",
)
_FAILURES = 200


class Paths(NamedTuple):
    """Where a report is.

    Attributes:
        html: The page, for people.
        markdown: In short, for a pull request.
        json: All figures with their formulas, for programs.
    """

    html: Path
    markdown: Path
    json: Path


def write_report(
    folder: Path,
    run: Mapping[str, Any],
    records: Sequence[Record],
    metrics: Sequence[Metric],
    curves: Curves,
    picture: Picture,
    failures: Sequence[Entry] = (),
    home: Path = Path(),
) -> Paths:
    """Write `report.html`, `report.md` and `report.json`.

    Args:
        folder: Where to; the run's own.
        run: Its description, as `run.json` holds it.
        records: Its records.
        metrics: Its metrics.
        curves: Its curves, per-category figures and confusions.
        picture: Where thumbnails come from.
        failures: What could not be answered.
        home: RAR_HOME, which may hold a `paper.yaml` of one's own.

    Raises:
        InputError: The files cannot be written.
        NotFoundError: The suite names a row of the paper that there is not.
    """
    suite = run["suite"]
    titles = titles_of(suite["ranker"]["model"])
    beside = beside_paper(suite["beside"], run, metrics, titles, home) if suite["beside"] else None
    over = _over_seeds(metrics)
    page = _page(run, records, metrics, over, curves, picture, failures, beside)
    paths = Paths(*(folder / f"report.{kind}" for kind in ("html", "md", "json")))
    try:
        paths.html.write_text(page, "utf-8")
        paths.markdown.write_text(
            _markdown(run, over, len(records) + len(failures), failures, beside), "utf-8"
        )
        paths.json.write_text(_json(run, metrics, curves, failures), "utf-8")
    except OSError as error:
        raise InputError(
            f"'{folder}' cannot be written to: {error.strerror}.", "Choose another folder."
        ) from error
    return paths


def _page(
    run: Mapping[str, Any],
    records: Sequence[Record],
    metrics: Sequence[Metric],
    over: Sequence[Metric],
    curves: Curves,
    picture: Picture,
    failures: Sequence[Entry],
    beside: Beside | None,
) -> str:
    way, titles = main_way(ways_of(records)), titles_of(run["suite"]["ranker"]["model"])
    listed = errors_first(records, way)
    confusions = [one for one in curves.confusions if one.way == way]
    examples = confused_samples(confusions[:PAIRS], listed, way)
    first = [record.sample for some in examples.values() for record in some]
    thumbnails = make_thumbnails(listed, picture, first)
    summary = _summary(run, over, _SUMMARY)
    pairs = [
        pair_of(one, examples.get((one.truth, one.answer), []), thumbnails)
        for one in confusions[:PAIRS]
    ]
    said = {
        "title": _title(run),
        "description": run["suite"]["description"],
        "cautions": cautions(run, len(records) + len(failures)),
        "counts": _counts(run, records, failures),
        "summary": metric_tables(summary, titles),
        "more": metric_tables([metric for metric in metrics if metric not in summary], titles),
        "formulas": [
            (name, "; interval: ".join(filter(None, said)))
            for name, said in {m.name: (m.formula, m.interval) for m in metrics}.items()
        ],
        "beside": beside,
        "drawn": [drawn(chart) for chart in charts_of(over, curves, titles)],
        "categories": category_tables(curves, way, titles),
        "pairs": pairs,
        "pairs_say": pairs_say(titles[way], len(pairs), len(confusions)),
        "thumbnails_say": thumbnails_say(thumbnails, PICTURES),
        "command": command(run),
        "made": _made(run).items(),
        "failures": _failures(failures),
        "failures_say": f"{counted(len(failures), 'image')} could not be answered",
        "configuration": json.dumps(run["configuration"], indent=2, ensure_ascii=False),
    }
    return render(listed, thumbnails, titles, said)


def cautions(run: Mapping[str, Any], asked: int, ranked: bool = True) -> list[str]:
    """What has to be said beside every figure of a run.

    Args:
        run: Its description.
        asked: How many of its images were asked.
        ranked: Whether ranked figures are among them.
    """
    suite, found = run["suite"], []
    whole = sum(cell["test"] for cell in run["cells"].values())
    if asked < whole:
        answers = counted(whole, "answer")
        found.append(f"Partial: {asked:,} of {answers}. The run was interrupted, or goes on.")
    short = {group_of(cell["name"]): cell.get("short", 0) for cell in run["cells"].values()}
    for group, count in short.items():
        if count:
            few = counted(count, "category")
            found.append(f"{group}: {few} with fewer exemplars than that; each gives what it has.")
    if ranked and (suite["ranker"]["model"] or "").startswith(PREFIX):
        found.append(
            "Simulated: the ranking model is a stand-in of a set skill. Ranked figures show what "
            "ranking would give at that skill, and say nothing about any model."
        )
    if suite["smoke"]:
        found.append("A smoke test: its figures say that all works, and nothing else.")
    return [*found, *filter(None, [run["dataset"]["caution"]])]


def command(run: Mapping[str, Any]) -> str:
    """What runs the same again."""
    return str(run.get("command") or f"rar-agent eval run {run['suite']['name']}")


def _title(run: Mapping[str, Any]) -> str:
    return str(run["suite"]["title"] or run["suite"]["name"])


def _counts(run: Mapping[str, Any], records: Sequence[Record], failures: Sequence[Entry]) -> str:
    cells, images = len({r.cell for r in records}), len({r.sample for r in records})
    said = [counted(len(records), "answer"), counted(images, "test image"), counted(cells, "cell")]
    if failures:
        said.append(f"{len(failures):,} not answered")
    return f"{run['dataset']['title'] or run['dataset']['name']}: {', '.join(said)}."


def _over_seeds(metrics: Sequence[Metric]) -> list[Metric]:
    """Without those of cells whose seeds have figures together."""
    return [metric for metric in metrics if metric.cell == group_of(metric.cell)]


def _made(run: Mapping[str, Any]) -> dict[str, str]:
    dataset, suite = run["dataset"], run["suite"]
    held = counted(dataset["categories"], "category")
    images = f"{dataset['train']:,} images to learn from, {dataset['test']:,} to test on"
    renamed = [f"{old} → {new}" for old, new in dataset["renamed"].items()]
    return {
        "suite": suite["name"],
        "configuration hash": run["configuration_hash"],
        "data set": f"{dataset['name']}, {held}, {images}",
        "data set's checksum": dataset["checksum"],
        "renamed categories": "; ".join(renamed) or "none",
        "encoder": run["encoder"]["name"],
        "ranking model": suite["ranker"]["model"] or "none",
        "versions": ", ".join(f"{name} {version}" for name, version in run["versions"].items()),
        "machine": run["machine"],
        "began": run["began"],
    }


def _failures(failures: Sequence[Entry]) -> Table | None:
    if not failures:
        return None
    rows: list[tuple[str | Cell, ...]] = [
        (one.key, Cell(str(one.result.get("error", ""))), Cell(str(one.result.get("kind", ""))))
        for one in failures[:_FAILURES]
    ]
    of = f", the first {_FAILURES}" if len(failures) > _FAILURES else ""
    return Table(f"What failed{of}", ["", "error", "kind"], rows)


def _summary(
    run: Mapping[str, Any], metrics: Sequence[Metric], names: Sequence[str]
) -> list[Metric]:
    guessed = run["suite"]["protocol"]["kind"] == "vocabulary-free"
    usual = [name for name in names if guessed or name not in _GUESSED]
    wanted = run["suite"].get("metrics") or usual  # runs of before have no such key
    return [metric for name in wanted for metric in metrics if metric.name == name]


def _markdown(
    run: Mapping[str, Any],
    over: Sequence[Metric],
    asked: int,
    failures: Sequence[Entry],
    beside: Beside | None,
) -> str:
    shown = _summary(run, over, _SUMMARY[:4])
    parts = [f"# {escaped(_title(run))}", escaped(run["suite"]["description"])]
    parts += [f"**{escaped(caution)}**" for caution in cautions(run, asked)]
    parts += [
        markdown(table)
        for table in metric_tables(shown, titles_of(run["suite"]["ranker"]["model"]))
    ]
    if beside:
        theirs = f"Theirs: {beside.paper}, arXiv {beside.arxiv}, {beside.source}."
        parts += [escaped(theirs), markdown(beside.figures), markdown(beside.differences)]
    if failures:
        parts.append(f"{counted(len(failures), 'image')} could not be answered.")
    parts.append(f"```\n{command(run)}\n```")
    parts.append("\n".join(f"- {name}: {escaped(value)}" for name, value in _made(run).items()))
    return "\n\n".join(filter(None, parts)) + "\n"


def _json(
    run: Mapping[str, Any], metrics: Sequence[Metric], curves: Curves, failures: Sequence[Entry]
) -> str:
    whole = {
        "run": run,
        "metrics": [metric.model_dump(mode="json") for metric in metrics],
        "curves": curves.model_dump(mode="json"),
        "failures": [{"key": one.key, **one.result} for one in failures],
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
