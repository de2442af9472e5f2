"""`rar-agent finetune export | lora`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from rar_agent.cli.options import Name, PromptName, RankerName
from rar_agent.errors import InputError

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


@app.command()
def lora(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What finetune export wrote.")],
    model: Annotated[
        str, typer.Option(help="A folder as save_pretrained writes it, or org/name on the hub.")
    ],
    out_folder: Annotated[
        Path, typer.Option("--out", help="Where the trained model goes; not there yet.")
    ],
    rank: Annotated[
        int | None, typer.Option(min=0, help="Of the adapters; 0: all weights; default: 16.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Times through the conversations; default: 1.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="At its highest; default: 1e-4.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Conversations at once; default: 4.")
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(min=1, help="Batches that make a step; default: 4.")
    ] = None,
    targets: Annotated[
        str | None, typer.Option(help="Modules with adapters; default: all-linear.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the training; default: 0.")] = None,
) -> None:
    """Train a vision-language model on exported conversations; local:OUT loads the result."""
    from rar_agent.cli.progress import Bar
    from rar_agent.cli.show import out
    from rar_agent.finetune.lora import Recipe, train
    from rar_agent.settings import load_settings

    given = {
        "rank": rank,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch": batch,
        "accumulate": accumulate,
        "targets": targets,
        "seed": seed,
    }
    try:
        recipe = Recipe(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise InputError(
            f"--{option} {first['input']} is not valid: {first['msg']}.", "Correct it."
        ) from error
    kept = "Checkpoints are kept: run it again, and it goes on."
    with Bar("training", "measuring", kept) as bar:
        name = model.removeprefix("local:")
        report = train(folder, name, out_folder, load_settings(), recipe, bar.update)
    out.print(f"{out_folder}: {report.steps:,} steps in {report.seconds:,.0f} s", soft_wrap=True)
    if report.before and report.after:
        count = report.data.eval.conversations
        out.print(f"on {count:,} conversations kept for evaluation, before and after:")
        out.print(f"  loss         {report.before.loss:8.3f} {report.after.loss:8.3f}")
        shares = [100 * score.first_place for score in (report.before, report.after)]
        out.print(f"  right first  {shares[0]:6.1f} % {shares[1]:6.1f} %")
    use = f"next: rar-agent memory calibrate {report.data.memory} --model local:{out_folder}"
    out.print(f"{use} --ranker {report.data.ranker}", style="dim", soft_wrap=True)


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
