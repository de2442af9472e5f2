"""Embeddings of images that callers ask for at the same time: encoded in one pass, and kept."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np

from rar_agent.encoders import Encoder, FloatArray
from rar_agent.encoders.base import Pixels
from rar_agent.forks import OfProcess
from rar_agent.images import AdmittedImage
from rar_agent.loop import promise

Embedding = tuple[FloatArray, np.float32]
"""(d,), of length 1, and its length before normalisation."""

_Key = tuple[str, tuple[int, int]]

_REMEMBERED = 4_096  # 20 MB at 1,280 dimensions


@dataclass(eq=False)
class _Wanted:
    """An image that is waiting or being encoded, for one caller or more."""

    image: AdmittedImage
    prepared: Pixels | None = None
    callers: int = 0
    done: Future[Embedding] = field(default_factory=promise)


class _Turns(OfProcess):
    """A thread for each encoder, that outlives who asks.

    Each thread encodes in a part of malloc's memory of its own, that keeps what is free for it: a
    thread for each memory that was opened again made a server grow by some 30 MB at a time.
    """

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._threads: WeakKeyDictionary[Encoder, ThreadPoolExecutor] = WeakKeyDictionary()

    def of(self, encoder: Encoder) -> ThreadPoolExecutor:
        """Its thread."""
        with self._lock:
            if encoder not in self._threads:
                self._threads[encoder] = ThreadPoolExecutor(1, "rar-agent-encode")
            return self._threads[encoder]


_turns = _Turns()


class Embeddings(OfProcess):
    """Encodes the images of threads and coroutines together. Thread-safe.

    An image that finds the encoder idle is encoded at once. Those that come meanwhile wait, and are
    then encoded in one pass, first come, first served, each image once whoever asks for it. Passes
    take turns with the batches of `embed_all`, in the order in which they were asked for, in the
    encoder's one thread: torch has threads of its own for each that calls it.

    Args:
        encoder: Encodes a pass. Rows may differ from those of a pass of one by 1e-5.
        most: Images in one pass.
        window_s: Seconds that a pass which is not full waits for more, where the one before had
            several images; one caller alone never waits.
    """

    def __init__(self, encoder: Encoder, most: int, window_s: float = 0) -> None:
        self._encoder, self._most, self._window_s = encoder, most, window_s
        self._known: OrderedDict[_Key, Embedding] = OrderedDict()
        super().__init__()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._came = threading.Condition(self._lock)
        self._wanted: dict[_Key, _Wanted] = {}
        self._waiting: OrderedDict[_Key, _Wanted] = OrderedDict()
        self._passes = 0  # asked for, and not begun; enough for all that wait
        self._crowded = False

    @property
    def _turns(self) -> ThreadPoolExecutor:
        return _turns.of(self._encoder)

    def known(self, image: AdmittedImage) -> Embedding | None:
        """The embedding of an image that was encoded lately; None where it was not."""
        with self._lock:
            return self._known.get(_key(image))

    def embed(self, image: AdmittedImage, prepared: Pixels | None = None) -> Embedding:
        """The embedding of an image; waits in this thread.

        Args:
            image: Which.
            prepared: What the encoder made of it; None: that is made in its pass.

        Raises:
            Exception: What the encoder raises for this image alone.
        """
        wanted = self._join(image, prepared)
        try:
            return wanted.done.result()
        finally:
            self._leave(wanted)

    async def aembed(self, image: AdmittedImage, prepared: Pixels | None = None) -> Embedding:
        """Likewise in a coroutine, which holds no thread.

        One that is cancelled leaves the queue at once; nobody else waiting for its image, that is
        not encoded where it was not begun.
        """
        wanted = self._join(image, prepared)
        try:
            return await asyncio.wrap_future(wanted.done)
        finally:
            self._leave(wanted)

    def embed_all(
        self, images: Sequence[AdmittedImage], prepared: Sequence[Pixels] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Encode images in one turn, (n, d) and (n,).

        Args:
            images: n of them.
            prepared: What the encoder made of each, where that was done already.
        """
        if prepared is None:
            turn = self._turns.submit(self._encode_images, images)
        else:
            turn = self._turns.submit(self._encoder.encode_prepared, prepared)
        try:
            vectors, norms = turn.result()
        finally:
            turn.cancel()  # who is interrupted no longer wants it
        with self._lock:
            self._remember(images, zip(vectors, norms, strict=True))
        return vectors, norms

    def clear(self) -> None:
        """Forget what was encoded."""
        with self._lock:
            self._known.clear()

    def _join(self, image: AdmittedImage, prepared: Pixels | None) -> _Wanted:
        key = _key(image)
        with self._lock:
            wanted = self._wanted.get(key)
            if wanted is None:
                wanted = _Wanted(image, prepared)
                if known := self._known.get(key):
                    wanted.done.set_result(known)
                    return wanted
                if len(self._waiting) >= self._passes * self._most:
                    self._turns.submit(self._pass)
                    self._passes += 1
                self._wanted[key] = self._waiting[key] = wanted
                self._came.notify()
            wanted.callers += 1
            return wanted

    def _leave(self, wanted: _Wanted) -> None:
        key = _key(wanted.image)
        with self._lock:
            wanted.callers -= 1
            if not wanted.callers and self._waiting.get(key) is wanted:
                del self._waiting[key], self._wanted[key]

    def _pass(self) -> None:
        """Encode those that have waited for longest."""
        with self._lock:
            if self._crowded and self._window_s:
                self._came.wait_for(lambda: len(self._waiting) >= self._most, self._window_s)
            self._passes -= 1
            size = min(self._most, len(self._waiting))
            taken = [self._waiting.popitem(last=False)[1] for _ in range(size)]
            self._crowded = size > 1
        if taken:
            self._encode(taken)

    def _encode(self, taken: Sequence[_Wanted]) -> None:
        failed = None
        try:
            prepared = [
                self._encoder.prepare(one.image.rgb) if one.prepared is None else one.prepared
                for one in taken
            ]
            found = list(zip(*self._encoder.encode_prepared(prepared), strict=True))
            with self._lock:
                self._remember([one.image for one in taken], found)
        except BaseException as error:  # no caller of this thread would see it
            failed = error
        if failed and len(taken) > 1:  # whose fault it is fails alone
            for one in taken:
                self._encode([one])
            return
        with self._lock:
            for one in taken:
                del self._wanted[_key(one.image)]
        if failed:
            taken[0].done.set_exception(failed)
            return
        for one, embedding in zip(taken, found, strict=True):
            one.done.set_result(embedding)

    def _encode_images(self, images: Sequence[AdmittedImage]) -> tuple[FloatArray, FloatArray]:
        return self._encoder.encode_images_with_norms([image.rgb for image in images])

    def _remember(self, images: Sequence[AdmittedImage], found: Iterable[Embedding]) -> None:
        self._known.update(zip(map(_key, images), found, strict=True))
        while len(self._known) > max(_REMEMBERED, len(images)):
            self._known.popitem(last=False)


def _key(image: AdmittedImage) -> _Key:
    """Of an image as it was decoded: in less detail it has another embedding."""
    return image.sha256, image.rgb.size
