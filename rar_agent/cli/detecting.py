"""Images one by one, their boxes recognised, shown, drawn and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import typer

from rar_agent.cli import detected
from rar_agent.cli.asked import say_filtered
from rar_agent.cli.boxes import BoxesFile, Results
from rar_agent.cli.detected import Drawings
from rar_agent.cli.progress import progress_bar
from rar_agent.cli.show import err, out
from rar_agent.errors import InputError
from rar_agent.images import Policy, admit, source_name
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

        Raises:
            Exit: Of status 1, where an image or a box failed.
            RarError: What would fail every image, and where there is one image, its error.
        """
        start, done = perf_counter(), list[Detections | Failure]()
        self._say_boxes(len(images))
        if not self.json:
            log_no_degraded()  # the table says it
        alone = len(images) == 1 and not self.json  # its error is the user's to read
        with _progress(len(images)) as (tell, advance):
            for image in images:
                one = self._one(image, alone, tell)
                if self.json:  # as soon as it is there, so that an interruption keeps it
                    typer.echo(one.model_dump_json())
                done.append(one)
                advance()
        say_filtered(self.recognizer, self.asked)
        if not self.json:
            self._show(done, perf_counter() - start)
        self._write(images, done)
        if any(isinstance(one, Failure) or _any_failed(one) for one in done):
            raise typer.Exit(1)

    def _one(self, source: str, alone: bool, tell: _Tell) -> Detections | Failure:
        settings, given = self.recognizer.settings, self.given
        boxes = None
        try:
            image = admit(source, Policy.of(settings))
            if self.results:
                self.results.id_of(source)
            if given and given.coco:
                boxes = given.of(image, source, settings.max_boxes)
        except InputError as error:
            if alone:
                raise
            return Failure(source=source_name(source), error=str(error), kind=type(error).__name__)
        if given and not given.coco:  # what is wrong with them fails every image
            boxes = given.of(image, source, settings.max_boxes)
        found = self.recognizer.detect(image, boxes, tell=tell, **self.asked)
        if self.iou is not None:
            found = detected.suppressed(found, self.iou)
        if self.drawings:
            self.drawings.save(image.rgb, found, self.least)
        return found

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

    def _show(self, done: Sequence[Detections | Failure], seconds: float) -> None:
        for one in done:
            if isinstance(one, Failure):
                out.print(detected.failed(one), soft_wrap=True)
            else:
                out.print(detected.boxes(one, self.least))
            out.print()
        out.print(detected.summary(done, seconds, self.recognizer.settings.model), soft_wrap=True)

    def _write(self, images: Sequence[str], done: Sequence[Detections | Failure]) -> None:
        if self.results:
            found = [
                (self.results.id_of(source), one)
                for source, one in zip(images, done, strict=True)
                if isinstance(one, Detections)
            ]
            number = counted(self.results.write(found), "result")
            said = f"results: {self.results.file}, {number}; category ids: {self.results.about}"
            err.print(said, style="dim", soft_wrap=True)
        if self.drawings:
            err.print(f"drawn: {self.drawings.place}", style="dim", soft_wrap=True)


def _any_failed(found: Detections) -> bool:
    return any(one.failure for one in found.detections)


@contextmanager
def _progress(images: int) -> Iterator[tuple[_Tell, Callable[[], None]]]:
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

        yield tell, advance
