"""`rar-agent eval compare | prompts`: which is better, and which to take."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.cli.options import Change, Limit, RunFolder

if TYPE_CHECKING:
    from rar_agent.evaluation.compare import Comparison
    from rar_agent.evaluation.suite import Way


def compare(
    a: RunFolder,
    b: RunFolder,
    way: Annotated[
        str | None,
        typer.Option(
            metavar="WAY[,WAY]",
            help="knn, retrieval, ranked, alone: of both, or of each; default: ranked, else what "
            "both have.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write a page, with Markdown and JSON beside it."),
    ] = None,
) -> None:
    """Say which of two runs is better on the same images, by how much, how surely, and where."""
    import shlex
    import sys

    from rar_agent.cli.show import out as console
    from rar_agent.errors import InputError
    from rar_agent.evaluation.compare import compare as compared
    from rar_agent.evaluation.publish import pictures_of
    from rar_agent.evaluation.report.compared import Compared, Side, write_comparison
    from rar_agent.evaluation.report.write import cautions
    from rar_agent.evaluation.run import read_run
    from rar_agent.settings import load_settings

    read = [read_run(folder) for folder in (a, b)]
    sides = [records for _, records, _ in read]
    known: tuple[Way, ...] = ("ranked", "retrieval", "knn", "alone")
    there = [[one for one in known if any(getattr(r, one) for r in side)] for side in sides]
    wanted = (
        way.split(",") if way else [one for one in known if one in there[0] and one in there[1]]
    )
    of_each = (wanted[:1], wanted[1:2] if way and "," in way else wanted[:1])
    chosen = [one for ways, each in zip(there, of_each, strict=True) for one in ways if one in each]
    if len(chosen) < 2:
        raise InputError(
            f"Not both runs have {way or 'an answer'}.",
            f"Name one, or one for each and a comma: {a.name} has {', '.join(there[0])}; "
            f"{b.name} has {', '.join(there[1])}.",
        )
    if a.resolve() == b.resolve() and chosen[0] == chosen[1]:
        raise InputError(
            f"'{a}' is compared with itself.", "Name two ways of it: --way retrieval,ranked."
        )
    names = (str(a), str(b)) if a.name == b.name else (a.name, b.name)
    if chosen[0] != chosen[1]:
        names = (f"{names[0]} {chosen[0]}", f"{names[1]} {chosen[1]}")
    found = compared(sides[0], sides[1], chosen[0], chosen[1], *names)
    of = " and of ".join(dict.fromkeys(chosen))
    console.print(f"compared: top-1 of {of}", soft_wrap=True)
    console.print(found.verdict, style="bold", soft_wrap=True)
    _table(found)
    if out is not None:
        said = [
            caution
            for (run, records, missed), way_of in zip(read, chosen, strict=True)
            for caution in cautions(run, len(records) + len(missed), way_of == "ranked")
        ]
        each = zip(names, chosen, sides, strict=True)
        page = Compared(
            title=f"{names[0]} and {names[1]}: top-1 of {of}",
            sides={name: Side(way_of, side) for name, way_of, side in each},
            comparisons=[found],
            cautions=list(dict.fromkeys(said)),
            command=shlex.join(["rar-agent", *sys.argv[1:]]),
        )
        pictures = pictures_of(read[0][0]["suite"], load_settings())
        paths = write_comparison(out.with_suffix(""), page, pictures)
        console.print(f"report: {paths.html}", soft_wrap=True)


def prompts(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="Its name, or a YAML file.")],
    prompts: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="rank@1,rank@2: two or more; the first is the one to stay with."
        ),
    ],
    change: Change = None,
    limit: Limit = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder of it all; default: one in ./rar-evals."),
    ] = None,
) -> None:
    """Compare prompts on the same images and candidates, with what they cost; recommend one.

    What was asked before is not asked again: run it with more images, and it goes on. Interrupted,
    or out of money, it compares what there is.
    """
    import shlex
    import sys

    from rar_agent.cli.progress import Bar
    from rar_agent.cli.show import err, grid
    from rar_agent.cli.show import out as console
    from rar_agent.errors import BudgetError, InputError
    from rar_agent.evaluation.judge import prepare_trial
    from rar_agent.evaluation.suite import load_suite
    from rar_agent.settings import load_settings
    from rar_agent.words import counted

    settings = load_settings()
    changes = [*(change or []), *([f"limit={limit}"] if limit else [])]
    named = [one.strip() for one in prompts.split(",") if one.strip()]
    command = shlex.join(["rar-agent", *sys.argv[1:]])
    chosen = load_suite(suite, settings.home, changes)
    trial = prepare_trial(chosen, named, settings, out, command)
    with Bar("asking", "", "What was done is kept: run it again, and it goes on.") as bar:

        def progress(prompt: str) -> Callable[[int, int], None]:
            return lambda done, total: bar.update(done, total, f"asking with {prompt}")

        try:
            failed = trial.go_on(progress)
        except (KeyboardInterrupt, BudgetError):
            with suppress(InputError):  # no image was answered with all of them
                console.print(f"report: {trial.judge()[0].html}", soft_wrap=True)
            raise
    paths, found = trial.judge()
    console.print(found.reason, style="bold", soft_wrap=True)
    table = grid("prompt", "top-1>", "95 % interval", "tokens>", "1,000 images>")
    for one in found.judged:
        top, spent = one.top_1, one.spent
        between = " to ".join(map(percent, (top.low, top.high)))
        tokens = "?" if spent.tokens is None else f"{spent.tokens:,.0f}"
        price = "?" if spent.dollars is None else f"${spent.dollars:,.4g}"
        table.add_row(one.name, percent(top.value), between, tokens, price)
    console.print(table)
    if len(found.comparisons) > 1:
        for comparison in found.comparisons:
            console.print(comparison.verdict, soft_wrap=True)
    for note in dict.fromkeys(note for one in found.comparisons for note in one.notes):
        console.print(note, style="dim", soft_wrap=True)
    console.print(f"report: {paths.html}", soft_wrap=True)
    if failed:
        err.print(f"{counted(failed, 'answer')} failed; run it again to try again")
        raise typer.Exit(1)


def _table(found: Comparison) -> None:
    from rar_agent.cli.show import grid, out

    table = grid("", f"{found.a}>", f"{found.b}>", "difference>", "images>")
    for one in (*found.cells, *found.categories[:10]):
        change = f"{100 * one.difference:+.1f}"
        table.add_row(one.name, percent(one.a), percent(one.b), change, f"{one.pairs:,}")
    out.print(table)
    for note in found.notes:
        out.print(note, style="dim", soft_wrap=True)


def percent(share: float | None) -> str:
    """A share as percent; a question mark where it is not known."""
    return "?" if share is None else f"{100 * share:.1f}"
