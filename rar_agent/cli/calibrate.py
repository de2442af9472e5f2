"""`rar-agent memory calibrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.cli.options import BaseUrl, Model, Name, Orders, PromptName, RankerName
from rar_agent.errors import InputError

if TYPE_CHECKING:
    from rich.text import Text

    from rar_agent.memory.format.manifest import RankerRecord


def calibrate(
    name: Name,
    model: Model = None,
    base_url: BaseUrl = None,
    ranker: RankerName = None,
    prompt: PromptName = None,
    orders: Orders = None,
    k: Annotated[int | None, typer.Option(help="Candidates it is shown at most, 2 to 26.")] = None,
    calls: Annotated[int, typer.Option(min=1, help="Calls to make at most; they cost.")] = 200,
    max_cost: Annotated[
        float | None, typer.Option(help="US dollars to spend at most; a price must be known.")
    ] = None,
    points: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, help="Accuracy that not asking may cost, in points; default: 0.5."
        ),
    ] = None,
    asked: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="In its place: share of the left-out exemplars to ask about at most."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Which exemplars are drawn.")] = 0,
) -> None:
    """Learn what a ranking model is worth on a memory: how far to believe it, when to ask it.

    Photos of the memory's own exemplars are sent to the model.
    """
    from rar_agent.cli.progress import Bar
    from rar_agent.cli.show import out
    from rar_agent.recognizer import Recognizer

    if k is not None and k < 2:
        raise InputError(f"--k {k} leaves nothing to rank.", "Give 2 to 26.")
    if points is not None and asked is not None:
        raise InputError("--points and --asked are two ways to say when to ask.", "Give one.")
    loss = 0.005 if points is None else points / 100
    recognizer = Recognizer(
        name,
        model,
        base_url=base_url,
        ranker=ranker,
        prompt=prompt,
        orders=orders,
        k=k,
        max_cost=max_cost,
    )
    with Bar("asking", "fitting", "Answers are kept: run it again, and it goes on.") as bar:
        record = recognizer.calibrate(calls, loss, seed, bar.update, asked)
    out.print(found(record), soft_wrap=True)


def found(record: RankerRecord) -> Text:
    """What a calibration found, in words."""
    from rich.text import Text

    text = Text(f"{record.model}, {record.ranker}, {record.prompt}: ", style="bold")
    before, after = 100 * record.retrieval_top1, 100 * record.ranked_top1
    if record.weight == 0:
        text.append("no help, and will not be asked")
    else:
        text.append(f"weight {record.weight:.2f}, asked where retrieval is under {record.gate:.3f}")
        text.append(f"\nthat is {100 * record.asked_share:.0f} % of images like the exemplars")
        text.append(f"; not asking about the others costs {100 * record.loss:.1f} points at most")
    text.append(
        f"\nof {record.images} doubtful exemplars: {before:.1f} % right by retrieval alone, "
        f"{after:.1f} % with it",
        style="dim",
    )
    if record.bias is not None:
        taken = ", taken out of its answers" if record.prior else ""
        means = "0: no letter is liked, 100: it always says the same letter"
        text.append(f"\norder bias {100 * record.bias:.0f} % ({means}){taken}", style="dim")
    tokens = f"{record.input_tokens:,} + {record.output_tokens:,} tokens"
    price = "cost unknown" if record.cost is None else f"{record.cost:.2f} dollars"
    kept = f" ({record.cached:,} answered before, at no cost)" if record.cached else ""
    text.append(f"\n{record.calls:,} calls{kept}, {tokens}, {price}", style="dim")
    return text
