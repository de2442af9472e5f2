"""How results look in a terminal."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from rar_agent.telemetry import UNPRINTABLE
from rar_agent.types import Failure, Recognition
from rar_agent.words import Tone, counted, notes, percent, surely

if TYPE_CHECKING:
    from rar_agent.memory import Memory

MOST_BRANCHES = 5
MOST_REASONS = 5
_STYLES: Mapping[Tone, str] = {"plain": "dim", "warning": "yellow", "answer": "bold"}

_ANY_WIDTH = 100_000


class _Plain(Console):
    """Shows no control characters but its own: names and sources may be anybody's."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control is None and UNPRINTABLE.search(segment.text):
                segment = segment._replace(text=UNPRINTABLE.sub("?", segment.text))
            yield segment


def _console(stderr: bool = False) -> Console:
    """Breaks lines for terminals only: who reads a pipe or a file wants them whole."""
    # Names and paths are the user's: nothing in them is markup, nor worth colouring.
    console = _Plain(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _ANY_WIDTH
    return console


out = _console()
err = _console(stderr=True)


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
    parts: list[Table | Text] = [Text(near(recognition.source), style="dim"), table]
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
    return [Text(note.text, style=_STYLES[note.tone]) for note in notes(recognition, model)]


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
        state += f", but: {surely(result.branch)}" if result.branch else ""
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


def near(path: str) -> str:
    """A path as seen from the working directory, where it lies below it."""
    place = Path(path)
    return str(place.relative_to(Path.cwd())) if place.is_relative_to(Path.cwd()) else path


def _tail(path: str) -> str:
    parts = Path(path).parts
    return str(Path(*parts[-2:])) if len(parts) > 2 else path
