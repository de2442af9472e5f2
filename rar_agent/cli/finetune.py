"""`rar-agent finetune export | lora`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.cli.options import Name, PromptName, RankerName

if TYPE_CHECKING:
    from rar_agent.finetune.export import Counts

app = typer.Typer(help="Train a ranking model on a memory's own exemplars.", no_args_is_help=True)


class FormatName(StrEnum):
    """Formats of conversations."""

    OPENAI = "openai"
    SHAREGPT = "sharegpt"
    TRL = "trl"


@app.command()
def export(
    name: Name,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write it; not there yet.")
    ],
    format_: Annotated[
        FormatName, typer.Option("--format", help="What the trainer reads.")
    ] = FormatName.TRL,
    ranker: RankerName = None,
    prompt: PromptName = None,
    k: Annotated[int | None, typer.Option(min=2, max=26, help="Candidates shown.")] = None,
    eval_share: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of exemplars kept for evaluation.")
    ] = 0.1,
    disjoint: Annotated[
        bool,
        typer.Option("--disjoint", help="Keep a share of the categories for evaluation instead."),
    ] = False,
    repeats: Annotated[
        int, typer.Option(min=1, help="Conversations about each exemplar, in other orders.")
    ] = 1,
    neighbours: Annotated[
        int, typer.Option(min=0, help="Categories that repeats draw candidates from; 0: k.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of the sides, the candidates and their order.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Exemplars at most.")] = None,
) -> None:
    """Write a memory's exemplars as ranking conversations, each left out of what is retrieved."""
    from rar_agent.cli.progress import Bar
    from rar_agent.cli.show import out
    from rar_agent.finetune.export import Plan
    from rar_agent.finetune.export import export as write
    from rar_agent.settings import load_settings

    settings = load_settings(memory=name, ranker=ranker, prompt=prompt, k=k)
    plan = Plan(
        format=format_.value,
        eval_share=eval_share,
        disjoint=disjoint,
        seed=seed,
        repeats=repeats,
        neighbours=neighbours,
        limit=limit,
    )
    with Bar("writing", if_interrupted="Nothing was written.") as bar:
        manifest = write(settings, plan, folder, bar.update)
    out.print(f"{folder}: {manifest.ranker}, {manifest.prompt}, {format_.value}", soft_wrap=True)
    out.print(f"train {_counted(manifest.train)}", soft_wrap=True)
    out.print(f"eval  {_counted(manifest.eval)}", soft_wrap=True)
    if format_ is FormatName.TRL:
        step = f"next: rar-agent finetune lora {folder} --model MODEL_FOLDER --out NEW_FOLDER"
        out.print(step, style="dim", soft_wrap=True)


def _counted(counts: Counts) -> str:
    text = (
        f"{counts.conversations:,} conversations about {counts.exemplars:,} exemplars of "
        f"{counts.categories:,} categories"
    )
    if counts.added:
        text += f"; for {counts.added:,} the right one was added"
    if counts.no_picture:
        text += f"; {counts.no_picture:,} more have no picture"
    return text
