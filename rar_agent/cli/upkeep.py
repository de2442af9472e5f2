"""`rar-agent memory fit | compact`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.cli.options import Name, NoFit, Ram, Recall, gigabytes
from rar_agent.errors import InputError

if TYPE_CHECKING:
    from rar_agent.memory import PriorRecord


def fit(
    name: Name,
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Answer what is frequent more readily: a count in the categories' metadata, such "
            "as image_count, or LVIS's frequency. Nothing is calibrated then.",
        ),
    ] = None,
    prior_weight: Annotated[
        float | None, typer.Option(help="Exponent of the counts, 0 to 10; default: 0.5.")
    ] = None,
    no_prior: Annotated[
        bool, typer.Option("--no-prior", help="Take all for equally frequent again.")
    ] = False,
) -> None:
    """Choose anew how a memory's categories are scored, and calibrate."""
    from rar_agent.cli.progress import busy
    from rar_agent.cli.show import out
    from rar_agent.cli.tables import scoring
    from rar_agent.memory import fit_memory_again
    from rar_agent.settings import load_settings

    asked = _prior(prior, prior_weight, no_prior)
    keep = asked is None and not no_prior
    with busy("leaving exemplars out"):
        memory = fit_memory_again(load_settings().home, name, "keep" if keep else asked)
    out.print(scoring(memory), soft_wrap=True)


def _prior(key: str | None, weight: float | None, none: bool) -> PriorRecord | None:
    """What the options say; None for no prior."""
    from rar_agent.memory import PriorRecord
    from rar_agent.memory.scoring.prior import WEIGHT

    if key is None or none:
        if key is not None or weight is not None:
            raise InputError(
                "--no-prior goes with no other prior."
                if none
                else f"--prior-weight {weight:g} is of no prior.",
                "Give --prior KEY and if wanted --prior-weight, or --no-prior alone.",
            )
        return None
    weight = WEIGHT if weight is None else weight
    if not key.strip() or not 0 < weight <= 10:
        raise InputError(
            f"A prior by '{key}' of weight {weight:g} is not valid.",
            "Name a key of the metadata, and a weight above 0, at most 10; to have no prior: "
            "--no-prior",
        )
    return PriorRecord(key=key.strip(), weight=weight)


def compact(
    name: Name,
    recall: Recall = None,
    ram: Ram = None,
    no_fit: NoFit = False,
) -> None:
    """Merge a memory's segments, reclaim what was removed, index it where it is large."""
    from rar_agent.cli.progress import Bar
    from rar_agent.cli.show import out
    from rar_agent.cli.tables import segments
    from rar_agent.memory import compact_memory
    from rar_agent.memory.teaching.indexing import RECALL
    from rar_agent.settings import load_settings
    from rar_agent.words import counted

    with Bar("indexing") as bar:
        done = compact_memory(
            load_settings().home,
            name,
            "never" if no_fit else "auto",
            RECALL if recall is None else recall,
            None if ram is None else gigabytes(ram, "--ram"),
            bar.update,
        )
    if done.migrated:
        out.print(f"{name}: brought from format version 1 to 2")
    before, after = done.segments
    reclaimed = counted(done.reclaimed, "entry")
    out.print(f"{name}: {counted(before, 'segment')} became {after}, {reclaimed} reclaimed")
    out.print(segments(done.memory))
