"""How a memory looks in a terminal: how it scores, what it can promise, its segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rar_agent.cli.show import grid
from rar_agent.memory.format.origin import origin_of
from rar_agent.memory.rankers import changed, is_current
from rar_agent.words import counted, percent, size

if TYPE_CHECKING:
    from rar_agent.memory import Memory
    from rar_agent.memory.format.manifest import FitRecord, IndexRef
    from rar_agent.memory.scoring.calibration import Calibration

ERROR_RATES = (0.01, 0.05, 0.10)
COVERAGES = (0.80, 0.90, 0.95)
_METHODS = {
    "gda": "Gaussians with one covariance",
    "prototype": "nearest mean",
    "cache": "all exemplars, nearer ones more",
    "knn": "nearest exemplar",
}


def identity(memory: Memory) -> Text:
    """What it is: counts, generation, encoder."""
    manifest = memory.manifest
    encoder = manifest.encoder
    lines = [
        f"generation {manifest.generation} of {manifest.created}, domain '{manifest.domain}'",
        f"encoder {encoder.name} {memory.fingerprint.identity}, {encoder.precision}, "
        f"{manifest.dimension} dimensions, views: {encoder.views}",
    ]
    counts = (
        f"{counted(memory.category_count, 'category')}, {counted(len(memory.entries), 'entry')}, "
        f"{size(sum(ref.size for ref in manifest.files()))}"
    )
    return Text(f"{memory.name}: {counts}\n").append("\n".join(lines), style="dim")


def scoring(memory: Memory) -> Group:
    """How it is scored, what that was chosen from, and how sure it is."""
    parts: list[RenderableType] = [
        Text(f"scored by {memory.describe_method()}", style="dim"),
    ]
    fit = memory.manifest.fit
    if fit and fit.compared:
        parts.append(_compared(fit))
    if fit and fit.top1 is not None:
        parts.append(Text(f"leaving one out: {_recognised(fit)}", style="dim"))
    parts.append(Text(f"probability: {memory.probability_means()}", style="dim"))
    if memory.changed and fit:
        parts.append(staleness(memory))
    return Group(*parts)


def _compared(fit: FitRecord) -> Group:
    prototype = fit.method == "gda" and fit.parameters["shrinkage"] == 1
    chosen = "prototype" if prototype else fit.method
    table = grid("compared", "recognised>", "is")
    for method, share in sorted(fit.compared.items(), key=lambda pair: -pair[1]):
        style = "bold" if method == chosen else ""
        table.add_row(method, f"{100 * share:.1f} %", _METHODS.get(method, ""), style=style)
    why = f"chosen: {chosen}, by which the right answers are likeliest"
    return Group(table, Text(why, style="dim"))


def _recognised(fit: FitRecord) -> str:
    from scipy.stats import binomtest

    top1 = fit.top1 or 0.0
    sure = binomtest(round(top1 * fit.left_out), fit.left_out).proportion_ci(method="wilson")
    return (
        f"{100 * top1:.1f} % of {fit.left_out} exemplars recognised "
        f"(95 % sure: {100 * sure.low:.1f} to {100 * sure.high:.1f} %)"
    )


def staleness(memory: Memory) -> Text:
    """How much changed since the scoring was chosen."""
    words = f"{percent(memory.changed_share)} changed since it was fitted"
    if memory.stale:
        return Text(f"{words}: rar-agent memory fit {memory.name}", style="yellow")
    return Text(words, style="dim")


def rankers(memory: Memory) -> list[RenderableType]:
    """Ranking models that were calibrated on it."""
    if not memory.manifest.rankers:
        return []
    table = grid(
        "ranking model",
        "ranker",
        "prompt",
        "orders>",
        "weight>",
        "asked>",
        "alone>",
        "with it>",
        "",
    )
    for record in memory.manifest.rankers:
        table.add_row(
            record.model,
            record.ranker,
            record.prompt,
            str(record.orders) if record.orders else "all",
            f"{record.weight:.2f}",
            f"{100 * record.asked_share:.0f} %" if record.weight else "never",
            f"{100 * record.retrieval_top1:.1f} %",
            f"{100 * record.ranked_top1:.1f} %",
            "stale" if changed(memory, record) else "",
        )
    return [table, Text("alone, with it: of the doubtful exemplars it was asked about", "dim")]


def drifts(memory: Memory) -> list[RenderableType]:
    """What encoding in lower precisions was found to cost."""
    if not memory.manifest.drifts:
        return []
    table = grid(
        "precision", "engine", "answers alike>", "95 % sure", "probability within>", "of", ""
    )
    for record in memory.manifest.drifts:
        table.add_row(
            record.precision,
            f"{record.engine}, {record.device}",
            f"{100 * record.top1:.1f} %",
            f"{100 * record.low:.1f} to {100 * record.high:.1f} %",
            f"{record.difference:.3f}",
            f"{record.images} {record.of}, {record.created[:10]}",
            "" if is_current(memory, record) else "stale",
        )
    return [table]


def promises(memory: Memory) -> list[Table]:
    """What asking for an error rate or a coverage gives, by the left-out exemplars."""
    if memory.calibration is None or not memory.calibrated:
        return []
    return [_error_rates(memory.calibration), _coverages(memory.calibration)]


def _error_rates(calibration: Calibration) -> Table:
    table = grid("--error-rate>", "accepts from", "of the left-out accepted>")
    for rate in ERROR_RATES:
        least = calibration.accept_from(rate)
        if least > 1:
            table.add_row(f"{100 * rate:g} %", "too few exemplars to promise it", "")
        else:
            share = float((calibration.confidence >= least).mean())
            table.add_row(f"{100 * rate:g} %", f"{least:.3f}", f"{100 * share:.1f} %")
    return table


def _coverages(calibration: Calibration) -> Table:
    table = grid("--coverage>", "candidates from", "candidates>")
    for coverage in COVERAGES:
        least = calibration.include_from(coverage)
        if least <= 0:
            table.add_row(f"{100 * coverage:g} %", "too few exemplars to promise it", "")
        else:
            mean = calibration.set_size(coverage)
            table.add_row(f"{100 * coverage:g} %", f"{least:.3f}", f"{mean:.1f} on average")
    return table


def segments(memory: Memory) -> Group:
    """Its segments, their indexes and what was removed."""
    table = grid("segment", "entries>", "size>", "index")
    origin = origin_of(memory.folder)
    for ref in memory.manifest.segments:
        bytes_ = size(sum(file.size for file in ref.files()))
        index = origin.index if origin else _index(ref.index)
        table.add_row(ref.modality, f"{ref.count:,}", bytes_, index)
    held = sum(ref.count for ref in memory.manifest.segments)
    removed = len(memory.entries.removed)
    if not removed:
        return Group(table)
    share = f"{removed:,} of {held:,} entries ({percent(removed / held)}) are removed"
    note = f"{share}; rar-agent memory compact {memory.name} reclaims them"
    return Group(table, Text(note, style="dim"))


def _index(ref: IndexRef | None) -> str:
    if ref is None:
        return "none: search is exact"
    numbers = ", ".join(f"{name} {number:,}" for name, number in ref.parameters.items())
    recall = ", ".join(f"{100 * share:.1f} % by {m}s" for m, share in ref.recall.items())
    return f"{ref.kind}: {numbers}\nfinds of the 10 nearest: {recall}"
