"""Many images: read by threads ahead of whoever uses them, in order, in batches."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

from rar_agent.errors import ImageError
from rar_agent.images.admit import AdmittedImage, ImageSource, admit_unknown, source_name
from rar_agent.images.policy import Policy
from rar_agent.types import Failure

BATCH_PIXELS = 32_000_000
"""Decoded pixels of a batch, 4 bytes each, and of those that wait to be one; one larger image is
a batch of its own."""

THREADS = min(8, os.cpu_count() or 1)
"""That read and decode, each an image at a time, of whatever size."""

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass
class _Ahead(Generic[Item, Made]):
    """What is being read, and what was; threads go on while nobody asks, within the bounds.

    Attributes:
        read: Reads one item, and says how many pixels it keeps.
        pool: Of threads.
    """

    read: Callable[[Item], tuple[Made, int]]
    pool: ThreadPoolExecutor
    begun: deque[tuple[Item, Future[tuple[Made, int]]]] = field(default_factory=deque)
    waiting: deque[Item] = field(default_factory=deque)
    _going: int = 0
    _pixels: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def length(self) -> int:
        """Items that wait, are being read, or were read and not yet taken."""
        with self._lock:
            return len(self.waiting) + len(self.begun)

    def begin(self) -> None:
        """Begin what the bounds allow."""
        with self._lock:
            # One at least: of those that ended, some may not be counted as such yet.
            while self.waiting and (
                not self.begun or (self._going < THREADS and self._pixels < BATCH_PIXELS)
            ):
                item = self.waiting.popleft()
                self._going += 1
                future = self.pool.submit(self.read, item)
                self.begun.append((item, future))
                future.add_done_callback(self._ended)

    def _ended(self, future: Future[tuple[Made, int]]) -> None:
        with self._lock:
            self._going -= 1
            if not future.cancelled() and not future.exception():
                self._pixels += future.result()[1]
            try:
                self.begin()
            except RuntimeError:  # the program ends, and left this half-read
                self.waiting.clear()

    def next(self) -> tuple[Item, Made, int]:
        """The first that was begun, when it was read; there has to be one."""
        item, future = self.begun[0]
        made, pixels = future.result()
        with self._lock:
            self.begun.popleft()
            self._pixels -= pixels
            self.begin()
        return item, made, pixels

    def stop(self) -> None:
        """Begin no more."""
        with self._lock:
            self.waiting.clear()


def read_batches(
    items: Iterable[Item],
    policy: Policy,
    size: int | Callable[[], int],
    source_of: Callable[[Item], ImageSource | AdmittedImage],
    made: Callable[[AdmittedImage], tuple[Made, int]],
    known: Callable[[Item, str], bool] | None = None,
    detail: int = 0,
) -> Iterator[list[tuple[Item, Made | Failure | str]]]:
    """Admit images in batches of at most `size`; what cannot be read is a failure in its place.

    The next batch is read while one is used.

    Args:
        items: What has an image each; taken a batch ahead, in the thread of whoever iterates.
        policy: Whose word the sources are, and the limits.
        size: Most images of a batch; may be asked anew for each.
        source_of: An item's image; one that was admitted already is taken as it is.
        made: What is made of an image, in the thread that read it, and how many of its pixels that
            keeps; what it raises is raised here.
        known: Whether an image of this sha256 is not needed again; asked before it is decoded, in
            another thread. Its sha256 stands for such an image.
        detail: See `images.decode`.
    """

    def read(item: Item) -> tuple[Made | Failure | str, int]:
        source = source_of(item)
        if isinstance(source, AdmittedImage):
            found = source.sha256 if known and known(item, source.sha256) else source
        else:
            try:
                known_here = (lambda sha256: known(item, sha256)) if known else (lambda _: False)
                found = admit_unknown(source, policy, known_here, detail=detail)
            except ImageError as error:
                name = source_name(source)
                return Failure(source=name, error=str(error), kind=type(error).__name__), 0
        if isinstance(found, str):
            return found, 0
        return made(found)

    left = iter(items)
    batch: list[tuple[Item, Made | Failure | str]] = []
    pixels = 0
    most = size() if callable(size) else size
    with ThreadPoolExecutor(THREADS) as pool:
        ahead = _Ahead(read, pool)
        try:
            while True:
                ahead.waiting.extend(islice(left, max(0, most - ahead.length)))
                ahead.begin()
                if not ahead.begun:
                    break
                item, found, more = ahead.next()
                if batch and pixels + more > BATCH_PIXELS:
                    yield batch
                    batch, pixels = [], 0
                batch.append((item, found))
                pixels += more
                if len(batch) >= most:
                    yield batch
                    batch, pixels = [], 0
                    most = size() if callable(size) else size
            if batch:
                yield batch
        finally:
            ahead.stop()
