"""How detections look: in a terminal, and drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path, PurePath

from PIL import Image
from rich.console import Group
from rich.table import Table
from rich.text import Text

from rar_agent.cli.show import MOST_REASONS, grid, near
from rar_agent.detection import suppress
from rar_agent.detection.draw import draw
from rar_agent.errors import InputError
from rar_agent.types import Detection, Detections, Failure, sum_usage
from rar_agent.words import counted, percent, spent, surely

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def suppressed(found: Detections, iou: float) -> Detections:
    """Without boxes that overlap a surer one of the same best category; see `suppress`."""
    known = [(at, one) for at, one in enumerate(found.detections) if one.recognition]
    kept = suppress(
        [one.box for _, one in known],
        [one.score for _, one in known],
        [_best(one) for _, one in known],
        iou,
    )
    left = {at for at, _ in known} - {known[place][0] for place in kept}
    rest = tuple(one for at, one in enumerate(found.detections) if at not in left)
    return found.model_copy(update={"detections": rest})


def _best(one: Detection) -> str:
    categories = one.recognition.categories if one.recognition else ()
    return categories[0].category.name if categories else ""


def boxes(found: Detections, least: float) -> Group:
    """The boxes of an image, one a row; under them how many were not sure enough.

    Args:
        found: The detections.
        least: The least score that is shown; failures always are.
    """
    title = f"{near(found.source)}, {found.width}x{found.height}"
    if not found.detections:
        return Group(Text(title, style="dim"), Text("no boxes", style="dim"))
    table = grid("#>", "box", "category", "probability>", "score>", "runner-up", "")
    hidden = 0
    for number, one in enumerate(found.detections, start=1):
        if one.recognition and one.score < least:
            hidden += 1
            continue
        _row(table, number, one)
    more = f"{counted(hidden, 'box')} under {least:g} not shown"
    notes = [Text(more, style="dim")] if hidden else []
    if found.reason:
        notes.append(Text(found.reason, style="yellow"))
    return Group(Text(title, style="dim"), table, *notes)


def _row(table: Table, number: int, one: Detection) -> None:
    left, top, width, height = one.box
    place = f"{left:.0f},{top:.0f} {width:.0f}x{height:.0f}"
    if one.recognition is None:
        error = one.failure.error if one.failure else ""
        table.add_row(str(number), place, "failed", "", "", "", error, style="red")
        return
    recognition = one.recognition
    if not recognition.categories:
        table.add_row(str(number), place, Text("nothing", style="dim"), "", "", "", "abstained")
        return
    first, *others = recognition.categories
    runner = f"{others[0].category.name} {percent(others[0].probability)}" if others else ""
    abstained = recognition.decision == "abstained"
    state = "abstained" if abstained else ""
    state += f", but: {surely(recognition.branch)}" if recognition.branch else ""
    table.add_row(
        str(number),
        place,
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


def summary(
    results: Sequence[Detections | Failure], seconds: float, model: str | None = None
) -> Group:
    """What there is to say of all of them together, what it took last.

    Args:
        results: Of all images.
        seconds: That it took.
        model: That was set to rank, whether it was asked or not.
    """
    read = [one for one in results if isinstance(one, Detections)]
    traces = [box.recognition.trace for one in read for box in one.detections if box.recognition]
    lines = []
    if traces:
        lines.append(Text(f"probability: {traces[0].probability_means}", style="dim"))
        lines.append(Text(f"memory: {traces[0].memory}", style="dim"))
    reasons = Counter(trace.reason for trace in traces if trace.degraded).most_common()
    for why, number in reasons[:MOST_REASONS]:
        said = f"degraded to the retrieval order, {counted(number, 'box')}: {why}"
        lines.append(Text(said, style="yellow"))
    if len(reasons) > MOST_REASONS:
        said = f"… and for {counted(len(reasons) - MOST_REASONS, 'other reason')}; see --json"
        lines.append(Text(said, style="yellow"))
    what = counted(sum(len(one.detections) for one in read), "box")
    what += f" of {counted(len(read), 'image')}" if len(results) > 1 else ""
    by = next((f", proposed by {one.proposer}" for one in read if one.proposer), "")
    asked = sum(one.asked for one in read)
    if asked:
        usage = spent(sum_usage(one.usage for one in read))
        ranked = f"{model} was asked about {counted(asked, 'box')}, {usage}"
    else:
        ranked = f"retrieval alone, {model or 'no model'} was {'not ' if model else ''}asked"
    if lost := len(results) - len(read):
        lines.append(Text(f"{counted(lost, 'image')} failed", style="red"))
    lines.append(Text(f"{what} in {seconds:.1f} s{by}; {ranked}", style="dim"))
    return Group(*lines)


class Drawings:
    """Where detections are drawn to.

    Args:
        place: A file, or a folder, which is made; several images want a folder.
        images: How many there are.

    Raises:
        InputError: It is neither, or cannot be written.
    """

    def __init__(self, place: Path, images: int) -> None:
        self.place = place
        self._taken: set[str] = set()
        self._folder = images > 1 or place.is_dir()
        is_file = place.suffix.lower() in _SUFFIXES
        if self._folder and (place.is_file() or (is_file and not place.is_dir())):
            raise InputError(f"'{place}' is no folder for {images} images.", "Name a folder.")
        if not self._folder and not (is_file and place.absolute().parent.is_dir()):
            raise InputError(
                f"'{place}' cannot be written.", "Name a .png file in a folder there is."
            )
        if self._folder:
            with _writing(place):
                place.mkdir(parents=True, exist_ok=True)

    def save(self, image: Image.Image, found: Detections, least: float) -> None:
        """Draw one image's.

        Args:
            image: It, upright.
            found: Of it.
            least: The least score that is drawn.

        Raises:
            InputError: The file cannot be written.
        """
        drawn = draw(image, found, least)
        path = self.place / self._name(found.source) if self._folder else self.place
        with _writing(path):
            drawn.save(path)

    def _name(self, source: str) -> str:
        stem = PurePath(source).stem or "image"
        names = chain([f"{stem}.png"], (f"{stem}-{again}.png" for again in count(2)))
        name = next(name for name in names if name not in self._taken)
        self._taken.add(name)
        return name


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be written: {error}.", "Name another place.") from error
