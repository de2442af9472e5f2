"""`rar-agent eval run | report | compare | datasets`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rar_agent.evaluation.datasets import State
    from rar_agent.evaluation.suite import Way
    from rar_agent.settings import Settings

app = typer.Typer(help="Measure how well it recognises.", no_args_is_help=True)


@app.command()
def run(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="Its name, or a YAML file.")],
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change it: ranker.prompt=rank@2."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Test images of each cell; default: the suite's.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder; default: one in ./rar-evals."),
    ] = None,
) -> None:
    """Run a suite, or go on with it: the same command does nothing twice.

    Several processes may run it together. Interrupted, it writes a report of what there is.
    """
    import shlex
    import sys

    from rar_agent.cli.progress import Bar
    from rar_agent.cli.show import err
    from rar_agent.evaluation.run import prepare_run
    from rar_agent.evaluation.suite import load_suite
    from rar_agent.settings import load_settings
    from rar_agent.words import counted

    settings = load_settings()
    changes = [*(change or []), *([f"limit={limit}"] if limit else [])]
    chosen = load_suite(suite, settings.home, changes)
    prepared = prepare_run(chosen, settings, out, shlex.join(["rar-agent", *sys.argv[1:]]))
    again = "What was done is kept: run it again, and it goes on. Interrupt again to leave at once."
    try:
        with Bar("asking", "measuring", again) as bar:
            done = prepared.go_on(bar.update)
    except KeyboardInterrupt:
        _summary(prepared.folder, settings)
        raise
    _summary(prepared.folder, settings)
    if done.failed:
        count = counted(done.failed, "image")
        err.print(f"{count} could not be answered; run it again to try again")
        raise typer.Exit(1)


Folder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]


@app.command()
def report(folder: Folder) -> None:
    """Write a run's report again, whole or as far as it got."""
    from rar_agent.settings import load_settings

    _summary(folder, load_settings())


@app.command()
def compare(
    a: Folder,
    b: Folder,
    way: Annotated[
        str | None,
        typer.Option(help="knn, retrieval, ranked; default: what both have, ranked first."),
    ] = None,
) -> None:
    """Say which of two runs is better on the same images, by how much, how surely, and where."""
    from rar_agent.cli.show import grid, out
    from rar_agent.errors import InputError
    from rar_agent.evaluation.compare import compare as compared
    from rar_agent.evaluation.run import read_run

    sides = tuple(read_run(folder)[1] for folder in (a, b))
    known: tuple[Way, ...] = ("ranked", "retrieval", "knn")
    ways = [one for one in known if way in (None, one)]
    both = [one for one in ways if all(any(getattr(r, one) for r in side) for side in sides)]
    if not both:
        raise InputError(
            f"Not both runs have {way or 'an answer'}.", "Name knn, retrieval or ranked."
        )
    found = compared(sides[0], sides[1], both[0], both[0], a.name, b.name)
    out.print(found.verdict, style="bold", soft_wrap=True)
    table = grid("", f"{a.name}>", f"{b.name}>", "difference>", "images>")
    for one in (*found.cells, *found.categories[:10]):
        change = f"{100 * one.difference:+.1f}"
        table.add_row(one.name, _percent(one.a), _percent(one.b), change, f"{one.pairs:,}")
    out.print(table)
    for note in found.notes:
        out.print(note, style="dim", soft_wrap=True)


def _summary(folder: Path, settings: Settings) -> None:
    """Measure, write the report, and print what it begins with."""
    from rar_agent.cli.show import grid, out
    from rar_agent.evaluation.metrics.columns import group_of
    from rar_agent.evaluation.publish import publish
    from rar_agent.evaluation.report.write import cautions
    from rar_agent.evaluation.run import read_run

    paths, metrics = publish(folder, settings)
    table = grid("", "way", "top-1>", "95 % interval", "images>")
    for metric in metrics:
        if metric.name == "top-1" and metric.cell == group_of(metric.cell):
            row = (_percent(metric.value), " to ".join(map(_percent, (metric.low, metric.high))))
            table.add_row(metric.cell, metric.way, *row, f"{metric.n:,}")
    out.print(table)
    described, records, failed = read_run(folder)
    for caution in cautions(described, len(records) + len(failed)):
        out.print(caution, style="yellow", soft_wrap=True)
    out.print(f"report: {paths.html}", soft_wrap=True)


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{100 * share:.1f}"


@app.command()
def datasets(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Say all of this one: a name or a card's file."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Load it, and look for images that are there twice."),
    ] = False,
) -> None:
    """List the data sets, and what has to be done for those that are not there."""
    from rar_agent.cli.show import grid, out
    from rar_agent.errors import InputError
    from rar_agent.evaluation.datasets import list_datasets, load_card, state_of
    from rar_agent.settings import load_settings

    settings = load_settings()
    if name is not None:
        _one(state_of(load_card(name, settings.home), settings), settings, check)
        return
    if check:
        raise InputError("Which data set to check is not said.", "Name it.")
    table = grid("data set", "what it is", "categories>", "train>", "test>", "state")
    for found in list_datasets(settings):
        card = found.card
        counts = (card.counts.categories, card.counts.train, card.counts.test)
        numbers = ("" if count is None else f"{count:,}" for count in counts)
        table.add_row(card.name, card.title, *numbers, found.state)
    out.print(table)
    out.print("what to do for one: rar-agent eval datasets NAME", style="dim", soft_wrap=True)


def _one(found: State, settings: Settings, check: bool) -> None:
    from rar_agent.cli.show import out
    from rar_agent.evaluation.datasets import find_copies, load_dataset

    card = found.card
    out.print(f"{card.name}: {card.title or card.name}", style="bold", soft_wrap=True)
    if found.state == "ready":
        lines = [f"ready, {found.place}", f"licence: {card.licence}" if card.licence else ""]
    else:  # the message has the licence
        lines = [found.state, found.message]
    lines.append(card.caution)
    for line in filter(None, lines):
        out.print(line, soft_wrap=True)
    if check:
        data = load_dataset(found.card, settings)
        counts = f"{len(data.categories):,} categories, {len(data.train):,} train"
        out.print(f"{counts}, {len(data.test):,} test; checksum {data.checksum}")
        out.print(f"{len(data.renamed):,} names are not as published")
        copies = find_copies(data)
        leaks = [one for one in copies if one.leaks]
        out.print(f"{len(copies):,} images are there twice or more, {len(leaks):,} in both parts")
        for one in (leaks or copies)[:5]:
            out.print("  " + " = ".join(one.keys), style="yellow", soft_wrap=True)
