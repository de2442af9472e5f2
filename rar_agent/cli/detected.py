"""How detections look in a terminal, and which are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from rar_agent.cli.show import grid, near
from rar_agent.detection import suppress
from rar_agent.types import Detection, Detections, Failure
from rar_agent.words import counted, percent, surely


def kept(found: Detections, iou: float) -> list[int]:
    """Places of boxes, but for those that overlap a surer one of the same best category.

    Args:
        found: Boxes that failed are kept.
        iou: See `suppress`.
    """
    known = [(at, one) for at, one in enumerate(found.detections) if one.recognition]
    sure = suppress(
        [one.box for _, one in known],
        [one.score for _, one in known],
        [_best(one) for _, one in known],
        iou,
    )
    left = {at for at, _ in known} - {known[place][0] for place in sure}
    return [at for at in range(len(found.detections)) if at not in left]


def _best(one: Detection) -> str:
    categories = one.recognition.categories if one.recognition else ()
    return categories[0].category.name if categories else ""


def boxes(found: Detections, least: float, numbers: Sequence[int] | None = None) -> Group:
    """The boxes of an image, one a row; under them how many were not sure enough.

    Args:
        found: The detections.
        least: The least score that is shown; failures always are.
        numbers: Of each box, from 1; None: its place.
    """
    title = f"{near(found.source)}, {found.width}x{found.height}"
    if not found.detections:
        return Group(Text(title, style="dim"), Text("no boxes", style="dim"))
    named = any(one.id for one in found.detections)
    table = grid("#>", *(["id"] if named else []), "box", "category", "probability>", "score>")
    table.add_column("runner-up")
    table.add_column()
    hidden = 0
    numbers = numbers or range(1, len(found.detections) + 1)
    for number, one in zip(numbers, found.detections, strict=True):
        if one.recognition and one.score < least:
            hidden += 1
            continue
        _row(table, [str(number), *([one.id] if named else [])], one)
    more = f"{counted(hidden, 'box')} under {least:g} not shown"
    notes = [Text(more, style="dim")] if hidden else []
    whys = (one.recognition.trace.abstained for one in found.detections if one.recognition)
    for why, count in Counter(filter(None, whys)).items():
        notes.append(Text(f"{counted(count, 'box')} abstained: {why}", style="yellow"))
    if found.reason:
        notes.append(Text(found.reason, style="yellow"))
    return Group(Text(title, style="dim"), table, *notes)


def _row(table: Table, names: Sequence[str], one: Detection) -> None:
    left, top, width, height = one.box
    begin = (*names, f"{left:.0f},{top:.0f} {width:.0f}x{height:.0f}")
    if one.recognition is None:
        error = one.failure.error if one.failure else ""
        table.add_row(*begin, "failed", "", "", "", error, style="red")
        return
    recognition = one.recognition
    if not recognition.categories:
        table.add_row(*begin, Text("nothing", style="dim"), "", "", "", "abstained")
        return
    first, *others = recognition.categories
    runner = f"{others[0].category.name} {percent(others[0].probability)}" if others else ""
    abstained = recognition.decision == "abstained"
    state = "abstained" if abstained else ""
    state += f", but: {surely(recognition.branch)}" if recognition.branch else ""
    table.add_row(
        *begin,
        first.category.name,
        percent(first.probability),
        f"{one.score:.3f}",
        runner,
        "degraded" if recognition.trace.degraded else state,
        style="dim" if abstained else "",
    )


def failed(failure: Failure) -> Text:
    """An image that could not be read, or has no boxes in a file."""
    return Text(f"{near(failure.source)}\n", style="dim").append(failure.error, style="red")
