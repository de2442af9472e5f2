"""Images one by one, their boxes recognised, shown, drawn and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import typer

from rar_agent.cli import detected
from rar_agent.cli.asked import say_filtered
from rar_agent.cli.boxes import BoxesFile, Results
from rar_agent.cli.drawings import Drawings
from rar_agent.cli.progress import progress_bar
from rar_agent.cli.show import err, near, out
from rar_agent.cli.tally import Tally
from rar_agent.errors import InputError
from rar_agent.images import Policy, admit, source_name
from rar_agent.memory import Filter
from rar_agent.recognizer import Asked, Recognizer
from rar_agent.telemetry import log_no_degraded
from rar_agent.types import Detections, Failure
from rar_agent.words import counted

_Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Detecting:
    """How the images of a command are looked at.

    Attributes:
        recognizer: Is asked.
        given: The boxes; None where they are proposed.
        asked: Of each image.
        json: Whether lines of JSON are printed, in place of tables.
        least: The least score that is shown and drawn.
        iou: Overlap above which boxes of one category are left out; None: none is.
        drawings: Where to draw, if anywhere.
        results: Where to write results, if anywhere.
    """

    recognizer: Recognizer
    given: BoxesFile | None
    asked: Asked
    json: bool
    least: float
    iou: float | None
    drawings: Drawings | None
    results: Results | None

    def run(self, images: Sequence[str]) -> None:
        """All of them; one that fails is told in its place.

        Each is shown as soon as it is there, and then forgotten. Whatever ends the run, the results
        of what is done are written.

        Raises:
            Exit: Of status 1, where an image or a box failed.
            RarError: What would fail every image, and where there is one image, its error.
        """
        start, tally = perf_counter(), Tally()
        self._say_boxes(len(images))
        if not self.json:
            log_no_degraded()  # the table says it
        alone = len(images) == 1 and not self.json  # its error is the user's to read
        try:
            with _progress(len(images)) as bars:
                for at, source in enumerate(images):
                    one, numbers = self._one(at, source, alone, bars.tell)
                    tally.add(one)
                    with bars.aside():
                        self._show(one, numbers)
                    bars.advance()
        finally:
            self._write(tally.images, len(images))
        say_filtered(self.recognizer, self.asked)
        if not self.json:
            model = self.recognizer.settings.model
            out.print(tally.summary(perf_counter() - start, model), soft_wrap=True)
        if tally.any_failed:
            raise typer.Exit(1)

    def _one(
        self, at: int, source: str, alone: bool, tell: _Tell
    ) -> tuple[Detections | Failure, Sequence[int]]:
        """What is in an image, and the boxes' numbers."""
        settings, given = self.recognizer.settings, self.given
        boxes, shared = None, given is not None and given.coco is None
        try:
            image = admit(source, Policy.of(settings))
            if given and not shared:
                boxes = given.of(image, source, settings.max_boxes)
            if self.results:
                self.results.id_of(source)
        except InputError as error:
            return _failed(source, error, alone), ()
        if given and shared:  # what is wrong with them fails every image
            boxes = given.of(image, source, settings.max_boxes)
        try:
            found = self.recognizer.detect(image, boxes, tell=tell, **self.asked)
        except InputError as error:
            if shared:
                raise
            self._refuse_all()
            return _failed(source, error, alone), ()
        numbers = list(range(1, len(found.detections) + 1))
        if self.iou is not None:
            places = detected.kept(found, self.iou)
            if fewer := len(found.detections) - len(places):
                said = f"note: --nms left out {counted(fewer, 'box')} of {near(found.source)}"
                err.print(said, style="yellow", soft_wrap=True)
            left = tuple(found.detections[place] for place in places)
            found, numbers = (
                found.model_copy(update={"detections": left}),
                [place + 1 for place in places],
            )
        if self.results:
            self.results.add(source, found)
        if self.drawings:
            self.drawings.save(at, image.rgb, found, self.least)
        return found, numbers

    def _refuse_all(self) -> None:
        """Raise what would fail every image: no such memory, branch, metadata or coverage."""
        memory, asked = self.recognizer.memory, self.asked
        filtered = asked.get("only") or asked.get("where")
        nothing = np.empty((0, memory.manifest.dimension), np.float32)
        memory.search(
            nothing,
            nothing[:, 0],
            coverage=self.recognizer.settings.coverage,
            within=Filter(tuple(asked.get("only", ())), asked.get("where")) if filtered else None,
        )

    def _show(self, one: Detections | Failure, numbers: Sequence[int]) -> None:
        if self.json:
            typer.echo(one.model_dump_json())
        elif isinstance(one, Failure):
            out.print(detected.failed(one), soft_wrap=True)
            out.print()
        else:
            out.print(detected.boxes(one, self.least, numbers))
            out.print()

    def _say_boxes(self, images: int) -> None:
        """What may not be meant, on standard error."""
        given = self.given
        if given and given.coco and given.coco.left_out:
            left = counted(given.coco.left_out, "box")
            said = f"note: left out of {given.name}: {left} around crowds, or without an area"
            err.print(said, style="yellow", soft_wrap=True)
        if given and not given.coco and images > 1:
            said = f"note: the boxes of {given.name} are looked at in each of {images} images"
            err.print(said, style="yellow", soft_wrap=True)

    def _write(self, done: int, of: int) -> None:
        """Write results, and say what was written; nothing where nothing is done."""
        if self.results and done:
            self.results.write()
            number = counted(len(self.results.rows), "result")
            part = f" of the first {done:,} of {counted(of, 'image')}" if done < of else ""
            said = f"results: {self.results.file}, {number}{part}; "
            err.print(f"{said}category ids: {self.results.about}", style="dim", soft_wrap=True)
        if self.drawings and done:
            err.print(f"drawn: {self.drawings.place}", style="dim", soft_wrap=True)


def _failed(source: str, error: InputError, alone: bool) -> Failure:
    if alone:
        raise error
    return Failure(source=source_name(source), error=str(error), kind=type(error).__name__)


@dataclass(frozen=True)
class _Bars:
    """Bars, as far as a run sees them.

    Attributes:
        tell: What the recognizer tells under way.
        advance: An image is done.
        aside: They are away, so that something else can be printed.
    """

    tell: _Tell
    advance: Callable[[], None]
    aside: Callable[[], AbstractContextManager[None]]


@contextmanager
def _progress(images: int) -> Iterator[_Bars]:
    """Bars of the images, where there are several, and of the boxes of one."""
    with progress_bar() as bar:
        whole = bar.add_task("images", total=images, visible=images > 1)
        task = bar.add_task("boxes", total=None)

        def anew(what: str, total: int | None) -> None:
            nonlocal task  # a task that had a total cannot lose it
            bar.remove_task(task)
            task = bar.add_task(what, total=total)

        def tell(said: dict[str, Any]) -> None:
            if said["step"] == "encoded":
                bar.update(task, completed=said["boxes"], total=said["of"])
            else:
                anew(f"asking about {counted(said['boxes'], 'box')}", None)

        def advance() -> None:
            bar.advance(whole)
            anew("boxes", None)

        @contextmanager
        def aside() -> Iterator[None]:
            bar.stop()  # what is printed under a live bar tears it
            yield
            bar.start()

        yield _Bars(tell, advance, aside)
