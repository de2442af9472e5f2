"""How results look in a terminal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from rar_agent.types import Branch, Failure, Recognition, Usage

if TYPE_CHECKING:
    from rar_agent.memory import Memory

MOST_BRANCHES = 5
MOST_REASONS = 5
UNUSUAL = 0.05
"""Familiarity under which it is worth saying."""
FILTERED = (
    "under a filter nothing is promised: calibration, error rates and coverages were measured "
    "over all categories"
)

# Names and paths are the user's: nothing in them is markup, nor worth colouring.
out = Console(markup=False, highlight=False, emoji=False)
err = Console(stderr=True, markup=False, highlight=False, emoji=False)


def grid(*columns: str, title: str = "") -> Table:
    """A table without lines; columns whose names end in `>` are numbers, to the right."""
    table = Table(
        box=None,
        pad_edge=False,
        header_style="dim",
        title=Text(title, style="bold") if title else None,
        title_justify="left",
    )
    for column in columns:
        table.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left")
    return table


def percent(probability: float) -> str:
    """A probability with one decimal; never a certainty that rounding made."""
    if probability > 0.9995:
        return ">99.9 %"
    return "<0.1 %" if probability < 0.0005 else f"{100 * probability:.1f} %"


def size(number: float) -> str:
    """Bytes, in the unit that suits them."""
    for unit, word in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= unit:
            return f"{number / unit:,.1f} {word}"
    return f"{number:,.0f} bytes"


def counted(number: int, what: str) -> str:
    """A number of things, in words."""
    if number != 1:
        what = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{number:,} {what}"


def contents(memory: Memory) -> str:
    """How many categories and entries a memory has."""
    return f"{counted(memory.category_count, 'category')}, {counted(len(memory.entries), 'entry')}"


def one(recognition: Recognition, model: str | None = None) -> Group:
    """A recognition in full.

    Args:
        recognition: The result.
        model: That was set to rank, whether it was asked or not.
    """
    table = grid(">", "category", "probability>", "nearest exemplar")
    for place, ranked in enumerate(recognition.categories, start=1):
        exemplar = ranked.exemplars[0] if ranked.exemplars else None
        nearest = f"{_tail(exemplar.source)} ({exemplar.similarity:.2f})" if exemplar else ""
        style = "bold" if place == 1 and recognition.decision == "accepted" else ""
        share = percent(ranked.probability)
        table.add_row(str(place), ranked.category.name, share, nearest, style=style)
    parts: list[Table | Text] = [Text(_near(recognition.source), style="dim"), table]
    if recognition.branches:
        parts.append(_branches(recognition))
    return Group(*parts, *_notes(recognition, model))


def _branches(recognition: Recognition) -> Table:
    table = grid("branch", "probability>", "categories>")
    for branch in recognition.branches[:MOST_BRANCHES]:
        style = "bold" if branch == recognition.branch else ""
        share = percent(branch.probability)
        table.add_row(branch.name, share, f"{branch.categories:,}", style=style)
    return table


def _notes(recognition: Recognition, model: str | None) -> list[Text]:
    trace = recognition.trace
    notes = []
    if recognition.decision == "abstained":
        why = f"abstained: {trace.abstained}; the above are best guesses"
        notes.append(Text(why, style="yellow"))
    elif trace.accepted_from is not None:
        least = f"accepted from {percent(trace.accepted_from)} on, for the error rate asked for"
        notes.append(Text(least, style="dim"))
    if recognition.branch:
        notes.append(Text(f"not sure which, but: {_surely(recognition.branch)}", style="bold"))
    familiarity = recognition.familiarity
    if familiarity is not None and familiarity < UNUSUAL:
        share = percent(familiarity)
        strange = f"unusual: only {share} of known images are as far from all that it knows"
        notes.append(Text(strange, style="yellow"))
    if trace.degraded:
        notes.append(Text(f"degraded to the retrieval order: {trace.reason}", style="yellow"))
    elif trace.reason:
        notes.append(Text(trace.reason, style="dim"))
    notes.append(Text(f"probability: {trace.probability_means}", style="dim"))
    if not any(ranked.exemplars for ranked in recognition.categories):
        notes.append(Text(f"memory: {trace.memory}, names without exemplars", style="dim"))
    else:
        notes.append(Text(f"memory: {trace.memory}, scored by {trace.method}", style="dim"))
    if trace.model:
        what = "asked to no use:" if trace.degraded else "ranked by"
        words = f"{trace.prompt}, {_spent(trace.usage)}, answer {trace.parse_status}"
        notes.append(Text(f"{what} {trace.model}, {words}", style="dim"))
    elif not trace.degraded:
        asked = f"{model} was not asked" if model else "no model was asked"
        notes.append(Text(f"ranked by: retrieval alone, {asked}", style="dim"))
    return notes


def _spent(usage: Usage) -> str:
    if usage.cached and not usage.input_tokens:
        return "answered before, at no cost"
    cost = "cost unknown" if usage.cost is None else f"${usage.cost:.6f}" if usage.cost else "free"
    return f"{usage.input_tokens}+{usage.output_tokens} tokens, {cost}"


def many(results: list[Recognition | Failure]) -> Group:
    """Recognitions, one a row; under them why some are degraded, each reason once."""
    table = grid("image", "category", "probability>", "runner-up", "")
    for result in results:
        if isinstance(result, Failure):
            table.add_row(_tail(result.source), Text(result.error, style="red"))
            continue
        if not result.categories:
            table.add_row(_tail(result.source), Text("nothing", style="dim"), "", "", "abstained")
            continue
        first, *others = result.categories
        runner = f"{others[0].category.name} {percent(others[0].probability)}" if others else ""
        share = percent(first.probability)
        state = "abstained" if result.decision == "abstained" else ""
        state += f", but: {_surely(result.branch)}" if result.branch else ""
        state = "degraded" if result.trace.degraded else state
        table.add_row(_tail(result.source), first.category.name, share, runner, state)
    traces = [result.trace for result in results if isinstance(result, Recognition)]
    reasons = Counter(trace.reason for trace in traces if trace.degraded)
    notes = [
        Text(f"degraded to the retrieval order, {counted(count, 'image')}: {why}", style="yellow")
        for why, count in reasons.most_common(MOST_REASONS)
    ]
    if len(reasons) > MOST_REASONS:
        more = f"… and for {counted(len(reasons) - MOST_REASONS, 'other reason')}; see --json"
        notes.append(Text(more, style="yellow"))
    return Group(table, *notes)


def next_steps(recognition: Recognition, asked: str, model: str | None = None) -> Group:
    """The next commands, as far as they were not given: teach, switch a multimodal LLM on.

    Args:
        recognition: What was just shown.
        asked: The arguments it was asked with, to repeat.
        model: That was set to rank, whether it was asked or not.
    """
    lines = [Text()]
    if not any(ranked.exemplars for ranked in recognition.categories):
        ready = any("head" in ranked.evidence for ranked in recognition.categories)
        own, memory = "your own categories", recognition.trace.memory
        lines += [
            Text(f"Teach it {own if ready else 'photos'}, from a folder with a folder a category:"),
            Text(
                f"  rar-agent memory {'create mine' if ready else f'add {memory}'} --images FOLDER"
            ),
        ]
    if model is None:
        lines += [
            Text("Let a multimodal LLM rank the candidates (needs OPENAI_API_KEY; a local server:"),
            Text("--base-url http://localhost:11434/v1 --model NAME):"),
            Text(f"  rar-agent recognize {asked} --model openai:gpt-5-mini"),
        ]
    return Group(*lines) if len(lines) > 1 else Group()


def _surely(branch: Branch) -> str:
    return f"{branch.name} {percent(branch.probability)}"


def _near(path: str) -> str:
    """A path as seen from the working directory, where it lies below it."""
    place = Path(path)
    return str(place.relative_to(Path.cwd())) if place.is_relative_to(Path.cwd()) else path


def _tail(path: str) -> str:
    parts = Path(path).parts
    return str(Path(*parts[-2:])) if len(parts) > 2 else path
