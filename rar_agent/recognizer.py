"""The façade for Python users."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any, Protocol, Unpack

from rar_agent.detection import Form, Proposer, read_boxes
from rar_agent.engine import LOCAL, load_engine
from rar_agent.graph import Services
from rar_agent.graph.asked import Asked, context_for, given
from rar_agent.graph.direct import answer, embed_and_answer, steps_matter
from rar_agent.graph.many import Many
from rar_agent.images import AdmittedImage, ImageSource, ImageStore, Policy, admit
from rar_agent.loop import Threads, run
from rar_agent.memory import Memory
from rar_agent.memory.format.manifest import RankerRecord
from rar_agent.memory.rankers import keeping_ranker
from rar_agent.ranking.cascade import Allowed
from rar_agent.settings import Settings, load_settings
from rar_agent.telemetry import part
from rar_agent.types import Detections, Failure, Recognition

__all__ = ["Asked", "Recognizer"]

_readers = Threads(16, "rar-agent-read")
"""Images that are slow to come, and many to decode, hold up no step of another's recognition."""


class Engine(Protocol):
    """Recognises many images elsewhere."""

    def stream(
        self,
        recognizer: Recognizer,
        images: Iterable[ImageSource | AdmittedImage],
        asked: Asked,
    ) -> Iterator[Recognition | Failure]:
        """What `Recognizer.stream` gives, in the same order."""


class Recognizer:
    """Recognises images against one memory; thread-safe, loads what it needs when first asked.

    Args:
        memory: Name of the memory; default: the settings' one (`imagenet-1k`).
        model: Multimodal LLM that ranks, as `provider:name`; default: the settings' one, or none.
        settings: Everything else; default: read from rar.toml and the environment.
        proposer: Proposes boxes for `detect` where none are given; default: the settings' one.
        **overrides: Single settings, such as `k=3`.

    Raises:
        ConfigurationError: A setting is not valid.

    Example:
        >>> Recognizer().recognize("cat.jpg").label  # doctest: +SKIP
        'Egyptian cat'
    """

    def __init__(
        self,
        memory: str | None = None,
        model: str | None = None,
        settings: Settings | None = None,
        proposer: Proposer | None = None,
        **overrides: Any,  # noqa: ANN401
    ) -> None:
        self.settings = load_settings(settings, memory=memory, model=model, **overrides)
        self.services = Services(self.settings, "caller", ImageStore(), proposer)

    @cached_property
    def _graph(self) -> Any:  # noqa: ANN401 - langgraph's generics do not survive invoke
        from rar_agent.graph import build_recognize  # LangGraph takes a second to import

        return build_recognize(checkpointer=False)  # an agent's would keep our steps in its thread

    @cached_property
    def _detect_graph(self) -> Any:  # noqa: ANN401 - likewise
        from rar_agent.graph.detect import build_detect

        return build_detect(checkpointer=False)

    @property
    def memory(self) -> Memory:
        """The memory that is asked.

        Raises:
            NotFoundError: There is none of that name.
        """
        return self.services.memory

    def refresh(self) -> bool:
        """Answer with the newest generation of the memory from now on, whoever taught it.

        Reads a few bytes where nothing changed. What runs already ends with the generation that it
        began with.

        Returns:
            Whether there was a newer one.
        """
        if not self.services.outdated:
            return False
        self.services = self.services.anew()
        return True

    def recognize(self, image: ImageSource | AdmittedImage, **asked: Unpack[Asked]) -> Recognition:
        """Recognise one image.

        Args:
            image: Path, https URL (if allowed), data URI, base64, bytes, file object, PIL image,
                (H, W, 3) uint8 array, or what `images.admit` returned.
            **asked: See `Asked`.

        Raises:
            ImageError: It is no image within the limits.
            InputError: What is asked is not valid, or a coverage cannot be promised.
            NotFoundError: There is no such memory, or a filter names an unknown branch.
            ConfigurationError: Encoder or model cannot be loaded.
        """
        services = self.services
        with part("recognize"), services.places.place():  # until it is encoded
            image = self._admit(image, services.detail)  # held until it is done
            if not steps_matter(services):
                return embed_and_answer(image, services, context_for(services, asked))
            found = self._graph.invoke(**given(services, image, asked))
        return Recognition.model_validate(found["recognition"])

    async def arecognize(
        self,
        image: ImageSource | AdmittedImage,
        tell: Callable[[dict[str, Any]], Awaitable[None]] | None = None,
        **asked: Unpack[Asked],
    ) -> Recognition:
        """Like `recognize`, without blocking the event loop.

        Args:
            image: As for `recognize`.
            tell: Told under way of each `step`: `retrieved`, with the candidates, and `ranking`,
                when a model is asked.
            **asked: See `Asked`.
        """
        services = self.services
        with part("recognize"):
            async with services.places.aplace():  # until it is encoded
                told = tell is not None
                admitted, begin = await _readers.run(self._begun, services, image, asked, told)
                if not begin:
                    return await self._aconcluded(services, admitted, asked)
                found: dict[str, Any] = {}
                modes = ["custom", "values"] if tell else ["values"]
                async for mode, said in self._graph.astream(**begin, stream_mode=modes):
                    if mode == "values":
                        found = said
                    elif tell:
                        await tell(said)
        return Recognition.model_validate(found["recognition"])

    def detect(
        self,
        image: ImageSource | AdmittedImage,
        boxes: object = None,
        form: Form = "xywh",
        tell: Callable[[dict[str, Any]], None] | None = None,
        **asked: Unpack[Asked],
    ) -> Detections:
        """Recognise what is in each box of an image.

        Args:
            image: As for `recognize`.
            boxes: In any of the forms of `detection.read_boxes`, such as a list of four numbers
                each, or a `supervision.Detections`; None: the settings' proposer proposes them.
            form: Of plain numbers: `xywh`, `xyxy`, `cxcywh` in pixels, or with `-relative`, in
                shares of the image.
            tell: Told under way of each `step`: `encoded`, with how many `boxes` `of` how many, and
                `ranking`, when a model is asked.
            **asked: See `Asked`.

        Raises:
            ImageError: It is no image within the limits.
            InputError: A box is none, there are too many, or what is asked is not valid.
            NotFoundError: There is no such memory, or a filter names an unknown branch.
            ConfigurationError: Encoder, model or proposer cannot be loaded, or none proposes.
        """

        async def told(said: dict[str, Any]) -> None:
            if tell:
                tell(said)

        return run(self.adetect(image, boxes, form, told, **asked))

    async def adetect(
        self,
        image: ImageSource | AdmittedImage,
        boxes: object = None,
        form: Form = "xywh",
        tell: Callable[[dict[str, Any]], Awaitable[None]] | None = None,
        **asked: Unpack[Asked],
    ) -> Detections:
        """Like `detect`, without blocking the event loop."""
        with part("detect"):
            image = await asyncio.to_thread(self._admit, image)  # held until it is done
            begin = await asyncio.to_thread(given, self.services, image, asked, boxes=True)
            if boxes is not None:
                size = image.rgb.size
                begin["input"]["boxes"] = await asyncio.to_thread(read_boxes, boxes, size, form)
            answer: dict[str, Any] = {}
            encoded = 0
            graph = await asyncio.to_thread(lambda: self._detect_graph)  # likewise
            async for mode, said in graph.astream(**begin, stream_mode=["custom", "values"]):
                if mode == "values":
                    answer = said
                elif tell:
                    if said["step"] == "encoded":  # of a batch
                        encoded += said["boxes"]
                        said = {**said, "boxes": encoded}
                    await tell(said)
            return await asyncio.to_thread(Detections.model_validate, answer["detections"])

    def stream(
        self,
        images: Iterable[ImageSource | AdmittedImage],
        *,
        engine: str | Engine = LOCAL,
        **asked: Unpack[Asked],
    ) -> Iterator[Recognition | Failure]:
        """Recognise many images, in order, encoding them in batches.

        An image that cannot be read is one `Failure`; the others go on. Settings and memory
        errors are raised, since they would fail every image. While one image is waited for, those
        behind it are recognised and kept, up to eight times `batch_size`; no more are read then.

        Args:
            images: As for `recognize`.
            engine: Where: `local`, `ray`, or an engine with settings of its own, such as
                `RayEngine(…)`.
            **asked: See `Asked`.
        """
        elsewhere: Engine | None = load_engine(engine) if isinstance(engine, str) else engine
        if elsewhere:
            return elsewhere.stream(self, images, asked)
        return (one for _, one in self._many(asked).results(images, in_order=True))

    def as_completed(
        self, images: Iterable[ImageSource | AdmittedImage], **asked: Unpack[Asked]
    ) -> Iterator[tuple[int, Recognition | Failure]]:
        """Like `stream`, but each result as soon as it is there, with its image's position.

        An image that the model is slow with holds back no other's answer: what is written down at
        once is not paid for again, however this ends.
        """
        return self._many(asked).results(images, in_order=False)

    def recognize_batch(
        self,
        images: Sequence[ImageSource | AdmittedImage],
        *,
        engine: str | Engine = LOCAL,
        **asked: Unpack[Asked],
    ) -> list[Recognition | Failure]:
        """Recognise many images; one result each, in order. See `stream`."""
        return list(self.stream(images, engine=engine, **asked))

    async def arecognize_batch(
        self, images: Sequence[ImageSource | AdmittedImage], **asked: Unpack[Asked]
    ) -> list[Recognition | Failure]:
        """Like `recognize_batch`, without blocking the event loop."""
        return await self._many(asked).aresults(images)

    def calibrate(
        self,
        calls: int = 200,
        loss: float = 0.005,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
        asked: float | None = None,
    ) -> RankerRecord:
        """Learn what the model is worth on this memory, and keep that in the memory.

        The model is asked about the memory's own exemplars, each left out. Afterwards its answers
        weigh as much as they deserve, and it is asked only where it can help.

        Args:
            calls: Made at most; they are paid for, but for those that were answered before.
            loss: Accuracy that not asking may cost, as a share: 0.005 is half a point.
            seed: Of the exemplars that are drawn.
            progress: Told how many calls were made, and how many there may be.
            asked: In place of `loss`: share of the left-out exemplars that the model may be asked
                about; of new images it is as large but for chance.

        Raises:
            ConfigurationError: No model is set.
            InputError: The memory is not calibrated itself or ready-made, there are too few calls,
                or too few exemplars could be asked about; but for the last, before any call.
            BusyError: Somebody else is writing to the memory; before any call.
            ProviderError: The model does not answer.
        """
        from rar_agent.graph.calibrate import plan_calibration

        plan = plan_calibration(self.services, calls, Allowed(loss, asked), seed)
        with keeping_ranker(self.settings.home, self.memory.name) as keep:
            record = plan.run(progress)
            keep(record)
        self.services = self.services.anew()
        return record

    def _begun(
        self, services: Services, image: ImageSource | AdmittedImage, asked: Asked, told: bool
    ) -> tuple[AdmittedImage, dict[str, Any]]:
        """The admitted image, and what the graph is run with for it, if its steps matter."""
        admitted = self._admit(image, services.detail)
        if not (told or steps_matter(services)):
            return admitted, {}
        _ = self._graph  # LangGraph is not imported on a caller's loop
        return admitted, given(services, admitted, asked)

    async def _aconcluded(
        self, services: Services, image: AdmittedImage, asked: Asked
    ) -> Recognition:
        context, start = context_for(services, asked), perf_counter()
        embedding = await services.aembed(image)  # holds no thread
        took = 1000 * (perf_counter() - start)
        return await asyncio.to_thread(answer, image, embedding, services, context, took)

    def _admit(self, image: ImageSource | AdmittedImage, detail: int = 0) -> AdmittedImage:
        with part("admit"):
            if not isinstance(image, AdmittedImage):
                image = admit(image, Policy.of(self.settings), detail=detail)
            self.services.store.put(image)
            return image

    def _many(self, asked: Asked) -> Many:
        return Many(self.services, lambda: self._graph, asked)
