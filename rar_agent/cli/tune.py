"""`rar-agent tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.errors import InputError

if TYPE_CHECKING:
    from rich.console import Group

    from rar_agent.encoders.tuning import Measured, Tuning


def tune(
    memory: Annotated[
        str | None,
        typer.Option(help="Tune its encoder, and compare its answers; default: RAR_MEMORY."),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="In its place: an encoder, beside no memory, in fp32 alone."),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of photos to measure on; those that the memory holds do not count.",
        ),
    ] = None,
    allow: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Precisions that may be chosen beside fp32: bf16, fp16, int8, with commas.",
        ),
    ] = "",
    rounds: Annotated[int, typer.Option(min=1, help="How often each candidate runs.")] = 7,
    anew: Annotated[
        bool, typer.Option("--anew", help="Make the int8 model anew, by this memory's exemplars.")
    ] = False,
    compile_: Annotated[
        bool,
        typer.Option("--compile", help="Try torch.compile on the CPU too, where it takes minutes."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Measure which engine, precision and batch encode fastest on this machine, and use them.

    What is chosen is equal to torch in fp32, unless --allow names more.
    """
    from rar_agent.cli.progress import Bar
    from rar_agent.cli.show import out
    from rar_agent.graph.tune import tune_encoder, tune_memory
    from rar_agent.settings import load_settings

    if memory and encoder:
        raise InputError("--memory and --encoder are two ways to name one.", "Give one.")
    allowed = tuple(dict.fromkeys(word.strip() for word in allow.split(",") if word.strip()))
    if encoder and allowed:
        raise InputError(
            "What a lower precision costs is measured by a memory's answers.",
            "Give --memory in place of --encoder.",
        )
    settings = load_settings()
    with Bar(
        "tuning", if_interrupted="Nothing was changed; models that were made are kept."
    ) as bar:
        if encoder:
            found = tune_encoder(settings, encoder, photos, rounds, compile_, bar.update)
        else:
            name = memory or settings.memory
            found = tune_memory(settings, name, photos, allowed, rounds, anew, compile_, bar.update)
    if as_json:
        out.print(found.model_dump_json(indent=2), soft_wrap=True)
        return
    out.print(shown(found))


def shown(tuning: Tuning) -> Group:
    """A tuning in a terminal."""
    from rich.console import Group
    from rich.text import Text

    from rar_agent.cli.show import grid

    table = grid(
        "engine",
        "precision",
        "batch>",
        "images/s>",
        "half of the rounds>",
        "one image>",
        "memory>",
        "loads in>",
        "differs by>",
        "answers alike",
        "",
    )
    for one in tuning.measured:
        table.add_row(*_row(one), _verdict(tuning, one), style=_style(tuning, one))
    said = f"{tuning.encoder} on {tuning.device}: {tuning.machine}; {tuning.images}"
    return Group(
        Text(said, style="dim"),
        table,
        Text(f"chosen: {_words(tuning)}", style="bold"),
        Text(f"{tuning.why}; kept until machine, packages or encoder change", style="dim"),
    )


def _row(one: Measured) -> list[str]:
    if not one.images_s:
        return [one.engine, one.precision, *[""] * 8]
    alike = ""
    if one.agreement:
        found = one.agreement
        alike = (
            f"{100 * found.share:.1f} % of {found.images} (95 % sure: {100 * found.low:.1f} to "
            f"{100 * found.high:.1f} %), probability within {found.difference:.3f}"
        )
    return [
        one.engine,
        one.precision,
        str(one.batch_size),
        f"{one.images_s:.1f}",
        f"{one.slow:.1f} to {one.fast:.1f}",
        f"{one.one_ms:.0f} ms",
        "" if one.rss_mb is None else f"{one.rss_mb:.0f} MB",
        f"{one.load_s:.1f} s",
        f"{one.difference:.0e}",
        alike,
    ]


def _is_chosen(tuning: Tuning, one: Measured) -> bool:
    return any(
        chosen is not None
        and (chosen.engine, chosen.precision, chosen.batch_size)
        == (one.engine, one.precision, one.batch_size)
        for chosen in (tuning.chosen, tuning.lower)
    )


def _verdict(tuning: Tuning, one: Measured) -> str:
    return one.refused or ("chosen" if _is_chosen(tuning, one) else "")


def _style(tuning: Tuning, one: Measured) -> str:
    if one.refused:
        return "dim"
    return "bold" if _is_chosen(tuning, one) else ""


def _words(tuning: Tuning) -> str:
    exact = tuning.chosen
    words = f"{exact.engine}, {exact.precision}, {exact.batch_size} images at once"
    if tuning.lower:
        lower = tuning.lower
        words = (
            f"{lower.engine}, {lower.precision}, {lower.batch_size} images at once for memories "
            f"with its cost on record; for others {words}"
        )
    return words
