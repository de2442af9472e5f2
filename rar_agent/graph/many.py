"""Many images through the graph: encoded in batches, each answered once, in order or as it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

from rar_agent.graph.answers import SPARE
from rar_agent.graph.asked import Asked, context_for, given
from rar_agent.graph.direct import embed_and_answer, steps_matter
from rar_agent.graph.reading import encoded
from rar_agent.graph.services import Services
from rar_agent.images import AdmittedImage, ImageSource
from rar_agent.loop import Call, Room, end
from rar_agent.telemetry import part
from rar_agent.types import Failure, Recognition

_BEHIND = 8
"""Batches of finished results that may wait for an earlier image."""

Result = Recognition | Failure


@dataclass(frozen=True)
class Many:
    """Images that are asked about alike.

    Args:
        services: Memory, encoder and ranker of them all.
        graph: Gives the recognise graph, compiled; not asked where no image takes its steps.
        asked: Of each image.
    """

    services: Services
    graph: Callable[[], Any]  # langgraph's generics do not survive ainvoke
    asked: Asked

    def results(
        self, images: Iterable[ImageSource | AdmittedImage], in_order: bool
    ) -> Iterator[tuple[int, Result]]:
        """One result each, with the image's position, as soon as it is there and its turn.

        Args:
            images: Read as they are wanted.
            in_order: Whether a result waits for those of the images before; some batches may,
                and no more are read then.
        """
        waiting: deque[tuple[int, Result | Call[Recognition]]] = deque()
        room, ahead = self._room(), self.services.settings.batch_size

        def left() -> list[Future[Recognition]]:
            """What is still waited for."""
            return [one.done for _, one in waiting if isinstance(one, Call) and not _ended(one)]

        def ended() -> int | None:
            """Place of one to be given now."""
            places = range(min(1, len(waiting)) if in_order else len(waiting))
            return next((at for at in places if _ended(waiting[at][1])), None)

        def full() -> bool:
            calls = len(left())
            return calls > ahead or len(waiting) - calls > _BEHIND * ahead

        batches, begun, more = self._encoded(images, lambda: len(left())), 0, True
        try:
            while more or waiting:
                if (at := ended()) is not None:
                    position, one = waiting[at]
                    del waiting[at]
                    yield position, one.done.result() if isinstance(one, Call) else one
                elif more and not full():
                    # The next batch is encoded while this one is asked about.
                    batch = next(batches, None)
                    more = batch is not None
                    waiting += enumerate(self._begin(batch or (), room), begun)
                    begun += len(batch or ())
                else:
                    wait(left(), return_when="FIRST_COMPLETED")
        finally:
            end(call for _, call in waiting if isinstance(call, Call))

    async def aresults(self, images: Sequence[ImageSource | AdmittedImage]) -> list[Result]:
        """One result each, in order, without blocking the event loop."""
        found: list[Result | asyncio.Task[Recognition]] = []
        tasks: set[asyncio.Task[Recognition]] = set()
        room, ahead = await asyncio.to_thread(self._room), self.services.settings.batch_size
        batches = self._encoded(images, lambda: sum(not task.done() for task in tasks))
        try:
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                known = await asyncio.to_thread(self._concluded, batch)
                for image in batch if known is None else known:
                    if not isinstance(image, AdmittedImage):
                        found.append(image)
                        continue
                    task = asyncio.create_task(self._arun(image, room))
                    found.append(task)
                    tasks.add(task)
                while len(tasks) > ahead:
                    done, tasks = await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
                    for task in done:
                        task.result()  # what would fail every image is raised at once
            return [await one if isinstance(one, asyncio.Task) else one for one in found]
        finally:
            begun = [one for one in found if isinstance(one, asyncio.Task)]
            for task in begun:
                task.cancel()
            await asyncio.gather(*begun, return_exceptions=True)

    def _begin(
        self, batch: Sequence[AdmittedImage | Failure], room: Room
    ) -> Sequence[Result | Call[Recognition]]:
        """Images whose embeddings are known: recognised, or on their way."""
        found = self._concluded(batch)
        if found is not None:
            return found
        return [
            image if isinstance(image, Failure) else Call(self._arun(image, room))
            for image in batch
        ]

    def _concluded(self, batch: Sequence[AdmittedImage | Failure]) -> list[Result] | None:
        """Likewise recognised; None where each has to take its steps."""
        if steps_matter(self.services):
            self.graph()  # made here, and not on a loop
            return None
        context = context_for(self.services, self.asked)
        results: list[Result] = []
        for image in batch:
            if isinstance(image, Failure):
                results.append(image)
                continue
            with part("recognize"):
                results.append(embed_and_answer(image, self.services, context))
        return results

    async def _arun(self, image: AdmittedImage, room: Room) -> Recognition:
        async with room.place():
            with part("recognize"):
                self.services.store.put(image)
                found = await self.graph().ainvoke(**given(self.services, image, self.asked))
        return Recognition.model_validate(found["recognition"])

    def _room(self) -> Room:
        """For the images that are on their way; encoding alone gains by no second."""
        asks = self.services.ranker.asks
        return Room(SPARE * self.services.settings.model_requests if asks else 1)

    def _encoded(
        self, images: Iterable[ImageSource | AdmittedImage], going: Callable[[], int]
    ) -> Iterator[list[AdmittedImage | Failure]]:
        """Images in batches, their embeddings known to the services.

        Where a model is asked, a batch has as many as are on their way: so the first calls begin
        at once, and none ends long before there is another.

        Args:
            images: Read as they are wanted.
            going: How many are on their way.
        """
        services = self.services

        def size() -> int:
            most, asks = services.settings.batch_size, services.ranker.asks
            return min(most, max(services.settings.model_requests, going())) if asks else most

        return encoded(images, services, size)


def _ended(one: Result | Call[Recognition]) -> bool:
    return not isinstance(one, Call) or one.done.done()
