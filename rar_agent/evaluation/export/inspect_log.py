"""A run as a log of Inspect (https://inspect.aisi.org.uk), which its viewer and its API open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rar_agent.batch import Entry
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.evaluation.export.lines import check_place, not_written, rights
from rar_agent.evaluation.metrics import Metric, measure
from rar_agent.evaluation.metrics.columns import group_of
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.report.samples import answer_of, ways_of
from rar_agent.evaluation.report.write import cautions
from rar_agent.evaluation.run import read_run
from rar_agent.evaluation.suite import Way
from rar_agent.types import Usage, sum_usage

_KINDS = (".eval", ".json")


def write_inspect_log(folder: Path, file: Path | None = None) -> Path:
    """Write a run as a log of Inspect: a sample an image in a cell, a score a way.

    Args:
        folder: The run's.
        file: `.eval` or `.json`; default: one in `inspect/` in the run's folder, named as Inspect
            names its logs.

    Returns:
        The file.

    Raises:
        ConfigurationError: The library `inspect_ai` is not installed.
        NotFoundError: It is no run's folder.
        DamagedDataError: Its journal cannot be read.
        InputError: The file cannot be written, or is of another kind.
    """
    try:
        log = import_module("inspect_ai.log")  # typed, but not installed where types are checked
    except ImportError as error:
        raise ConfigurationError(
            f"Inspect's library cannot be loaded: {error}.", "Run: pip install inspect-ai."
        ) from error
    run, records, failed = read_run(folder)
    name = f"{run['began'].replace(':', '-')}_{run['suite']['name']}_{run['configuration_hash']}"
    file = file or folder / "inspect" / f"{name}.eval"
    if file.suffix not in _KINDS:
        raise InputError(f"'{file}' is no log.", f"Name one that ends in {' or '.join(_KINDS)}.")
    check_place(file, folder)
    made = _log(log, run, records, failed)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        log.write_eval_log(made, str(file), format=file.suffix[1:])
    except OSError as error:
        raise not_written(file, error) from error
    return file


def _log(
    log: Any,  # noqa: ANN401 - a module
    run: Mapping[str, Any],
    records: Sequence[Record],
    failed: Sequence[Entry],
) -> Any:  # noqa: ANN401 - an EvalLog
    suite, code = run["suite"], run["configuration_hash"]
    whole, done = sum(cell["test"] for cell in run["cells"].values()), len(records) + len(failed)
    said = cautions(run, done)
    model = suite["ranker"]["model"] or "none"
    samples = [*(_sample(log, one) for one in records), *(_failed(log, run, e) for e in failed)]
    return log.EvalLog(
        status="success" if done == whole else "cancelled",
        eval=log.EvalSpec(
            eval_id=code,
            run_id=code,
            task_id=code,
            created=run["began"],
            task=suite["name"],
            task_display_name=suite["title"] or suite["name"],
            task_description=" ".join(filter(None, [suite["description"], *said])),
            dataset=log.EvalDataset(name=run["dataset"]["name"], samples=whole),
            model=model,
            config=log.EvalConfig(epochs=1, limit=suite["limit"]),
            packages=run["versions"],
            metadata={"cautions": said, "configuration": run["configuration"]},
        ),
        results=log.EvalResults(
            total_samples=whole,
            completed_samples=len(records),
            scores=list(_scores(log, records)),
        ),
        stats=log.EvalStats(started_at=run["began"], model_usage=_usage(records)),
        samples=samples,
    )


def _scores(log: Any, records: Sequence[Record]) -> Iterator[Any]:  # noqa: ANN401
    """Top-1 of each way, by cell, with its interval."""
    found: dict[Way, list[Metric]] = {way: [] for way in ways_of(records)}
    for metric in measure(records) if records else ():
        known = metric.value is not None and metric.way is not None
        if metric.name == "top-1" and known and metric.cell == group_of(metric.cell):
            found[metric.way].append(metric)  # type: ignore[index]
    for way, metrics in found.items():
        yield log.EvalScore(
            name=way,
            scorer=way,
            metrics={
                one.cell: log.EvalMetric(
                    name=f"top-1, {one.cell}",
                    value=one.value,
                    metadata={"low": one.low, "high": one.high, "n": one.n, "of": one.interval},
                )
                for one in metrics
            },
        )


def _sample(log: Any, record: Record) -> Any:  # noqa: ANN401
    model, scorer = import_module("inspect_ai.model"), import_module("inspect_ai.scorer")
    asked = record.ranking or record.asked_alone
    question = f"{record.sample} (sha256 {record.sha256})"
    output = model.ModelOutput.from_content(asked.model or "none", asked.raw) if asked else None
    scores = {}
    for way, right in rights(record).items():
        answer = answer_of(record, way)
        scores[way] = scorer.Score(
            value="C" if right else "I",
            answer=answer.names[0] if answer else None,
            metadata=answer.model_dump(mode="json") if answer else None,
        )
    told = {
        "cell": record.cell,
        "ranking": asked.model_dump(mode="json", exclude_defaults=True) if asked else None,
        "seen": [one.model_dump(mode="json") for one in record.seen],
        "familiarity": record.familiarity,
        "timings_ms": record.timings_ms,
    }
    return log.EvalSample(
        id=f"{record.cell}/{record.sample}",
        epoch=1,
        input=question,
        choices=list(record.retrieval.names) if record.retrieval else None,
        target=record.truth,
        messages=[
            model.ChatMessageUser(content=question),
            *([output.message] if output else []),
        ],
        **({"output": output} if output else {}),
        scores=scores,
        metadata=told,
        model_usage=_usage([record]),
        total_time=record.timings_ms.get("total", 0) / 1000,
    )


def _failed(log: Any, run: Mapping[str, Any], entry: Entry) -> Any:  # noqa: ANN401
    slug, _, sample = entry.key.partition("/")
    said = f"{entry.result.get('kind')}: {entry.result.get('error')}"
    return log.EvalSample(
        id=f"{run['cells'][slug]['name']}/{sample}",
        epoch=1,
        input=sample,
        target="",
        error=log.EvalError(message=said, traceback="", traceback_ansi=""),
    )


def _usage(records: Sequence[Record]) -> dict[str, Any]:
    """Tokens and dollars by model."""
    model = import_module("inspect_ai.model")
    asked: dict[str, list[Usage]] = {}
    for record in records:
        for one in filter(None, (record.ranking, record.asked_alone)):
            if one.calls:
                asked.setdefault(one.model, []).append(one.usage)
    return {
        name: model.ModelUsage(
            input_tokens=whole.input_tokens,
            output_tokens=whole.output_tokens,
            total_tokens=whole.input_tokens + whole.output_tokens,
            total_cost=whole.cost,
        )
        for name, usages in asked.items()
        for whole in [sum_usage(usages)]
    }
