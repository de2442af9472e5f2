"""`rar-agent memory plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from rar_agent.cli.options import Ram, Recall, gigabytes
from rar_agent.errors import InputError

if TYPE_CHECKING:
    from rar_agent.memory.index.plan import IndexPlan
    from rar_agent.memory.index.spec import IndexSpec
    from rar_agent.types import Modality

_NUMBERS = ("links", "construction", "lists", "codes", "effort", "rerank")


def plan(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A memory; or give --count.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Images, and texts; default: the memory's.")
    ] = None,
    dimension: Annotated[
        int | None, typer.Option(min=1, help="Of a vector; default: the memory's.")
    ] = None,
    ram: Ram = None,
    recall: Recall = None,
) -> None:
    """Say which index a large memory gets, what it costs, and what else was considered."""
    from rar_agent.cli.show import out
    from rar_agent.memory import open_memory
    from rar_agent.memory.format.origin import origin_of
    from rar_agent.memory.index.plan import plan_index
    from rar_agent.memory.teaching.indexing import RECALL, index_budget
    from rar_agent.settings import load_settings

    counts: dict[Modality, int] = {"image": count or 0, "text": count or 0}
    texts_ask = False
    if name is not None:
        memory = open_memory(load_settings().home, name)
        if origin := origin_of(memory.folder):
            raise InputError(
                f"'{name}' is indexed {origin.index}.",
                "docs/milvus.md says which index suits how many; rar-agent memory compact builds "
                "it. For a plan for this machine, give --count and --dimension.",
            )
        dimension = dimension or memory.manifest.dimension
        texts_ask = memory.has_texts  # what compaction plans for, too: they are harder to find
        texts = len(memory.entries.rows("text"))
        counts = {"image": count or memory.image_count, "text": texts and (count or texts)}
    if not any(counts.values()) or dimension is None:
        raise InputError(
            "There is nothing to plan for." if name is None else f"'{name}' has no exemplars.",
            "Name a memory that has some, or give --count and --dimension.",
        )
    budget = index_budget() if ram is None else gigabytes(ram, "--ram")
    for modality, number in counts.items():
        if number:
            harder: Modality = "text" if texts_ask else modality
            planned = plan_index(
                number, dimension, budget, RECALL if recall is None else recall, harder
            )
            out.print(_table(modality, planned), soft_wrap=True)


def _table(modality: Modality, plan: IndexPlan) -> Group:
    from rar_agent.cli.show import grid
    from rar_agent.words import size

    rows = f"{plan.spec.count:,} {modality}s of {plan.spec.dimension:,} dimensions"
    table = grid("index", "memory>", "disk>", "build>", "a query>", "")
    for other in plan.considered:
        table.add_row(
            other.spec.kind,
            size(other.ram_bytes),
            size(other.disk_bytes),
            _duration(other.build_seconds),
            f"{other.query_ms:,.1f} ms",
            other.verdict,
            style="bold" if other.spec == plan.spec else "",
        )
    parts: list[RenderableType] = [Text(rows, style="bold"), Text(plan.reason), table]
    if plan.spec.kind != "exact":
        parts.append(Text(f"{plan.spec.kind}: {_numbers(plan.spec)}", style="dim"))
    return Group(*parts, "")


def _numbers(spec: IndexSpec) -> str:
    values = {name: getattr(spec, name) for name in _NUMBERS}
    return ", ".join(
        f"{name} {n:,}" for name, n in values.items() if n and (name, n) != ("rerank", 1)
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5_400 else f"{seconds / 3_600:,.1f} h"
