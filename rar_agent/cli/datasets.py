"""`rar-agent eval datasets`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rar_agent.evaluation.datasets import State
    from rar_agent.settings import Settings


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
