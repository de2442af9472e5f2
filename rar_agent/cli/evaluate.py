"""`rar-agent eval`: run and report, and the other commands put beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.cli import datasets, export, judge
from rar_agent.cli.judge import percent
from rar_agent.cli.options import Change, Limit, RunFolder

if TYPE_CHECKING:
    from rar_agent.evaluation.plan import Planned
    from rar_agent.settings import Settings

_FAILURES = 5
"""That are told; the report has more."""

app = typer.Typer(help="Measure how well it recognises.", no_args_is_help=True)


@app.command()
def run(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="Its name, or a YAML file.")],
    change: Change = None,
    limit: Limit = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder; default: one in ./rar-evals."),
    ] = None,
) -> None:
    """Run a suite, or go on with it: the same command does nothing twice.

    Several processes may run it together. Interrupted, or out of money (RAR_MAX_COST), it writes a
    report of what there is. Suites of its `also` are run after it, with the same changes.
    """
    from rar_agent.cli.show import err
    from rar_agent.evaluation.plan import plan
    from rar_agent.settings import load_settings
    from rar_agent.words import counted

    settings = load_settings()
    changes = [*(change or []), *([f"limit={limit}"] if limit else [])]
    failed = 0
    for planned in plan(suite, settings, changes, out):
        if planned.left_out:
            err.print(planned.left_out, soft_wrap=True)
        else:
            failed += _run(planned, settings)
    if failed:
        count = counted(failed, "image")
        err.print(f"{count} could not be answered; mend them, or run it again to try again")
        raise typer.Exit(1)


def _run(planned: Planned, settings: Settings) -> int:
    """Run it or go on with it; how many images could not be answered."""
    import shlex
    import sys

    from rar_agent.cli.progress import Bar
    from rar_agent.errors import BudgetError
    from rar_agent.evaluation.run import prepare_run

    typed = shlex.join(["rar-agent", *sys.argv[1:]])
    prepared = prepare_run(planned.suite, settings, planned.out, typed)
    again = "What was done is kept: run it again, and it goes on. Interrupt again to leave at once."
    try:
        with Bar("asking", "measuring", again) as bar:
            done = prepared.go_on(bar.update)
    except (KeyboardInterrupt, BudgetError):
        _summary(prepared.folder, settings)
        raise
    _summary(prepared.folder, settings)
    return done.failed


@app.command()
def report(folder: RunFolder) -> None:
    """Write a run's report again, whole or as far as it got."""
    from rar_agent.settings import load_settings

    _summary(folder, load_settings())


def _summary(folder: Path, settings: Settings) -> None:
    """Measure, write the report, and print what it begins with."""
    from rar_agent.cli.show import grid, out
    from rar_agent.evaluation.metrics.columns import group_of
    from rar_agent.evaluation.publish import publish

    published = publish(folder, settings)
    table = grid("", "way", "top-1>", "95 % interval", "images>")
    for metric in published.metrics:
        if metric.name == "top-1" and metric.cell == group_of(metric.cell):
            row = (percent(metric.value), " to ".join(map(percent, (metric.low, metric.high))))
            table.add_row(metric.cell, metric.way, *row, f"{metric.n:,}")
    out.print(table)
    for caution in published.cautions:
        out.print(caution, style="yellow", soft_wrap=True)
    for failure in published.failures[:_FAILURES]:
        out.print(failure, style="red", soft_wrap=True, markup=False)
    if (more := len(published.failures) - _FAILURES) > 0:
        out.print(f"and {more:,} more that failed: see the report", style="red")
    out.print(f"report: {published.paths.html}", soft_wrap=True)


app.command()(judge.compare)
app.command()(judge.prompts)
app.command()(export.export)
app.command()(datasets.datasets)
