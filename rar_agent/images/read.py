"""Many images: read by threads, in order, in batches bounded by number and by pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from rar_agent.errors import ImageError
from rar_agent.images.admit import AdmittedImage, ImageSource, admit_unknown, source_name
from rar_agent.images.policy import Policy
from rar_agent.types import Failure

BATCH_PIXELS = 32_000_000
"""Decoded pixels of a batch, 4 bytes each; one larger image is a batch of its own."""

_READ_AT_ONCE = 4  # decoded beyond the bound, at most

Item = TypeVar("Item")


def read_batches(
    items: Iterable[Item],
    policy: Policy,
    size: int | Callable[[], int],
    source_of: Callable[[Item], ImageSource | AdmittedImage],
    known: Callable[[Item, str], bool] | None = None,
) -> Iterator[list[tuple[Item, AdmittedImage | Failure | str]]]:
    """Admit images in batches of at most `size`; what cannot be read is a failure in its place.

    Args:
        items: What has an image each; read a few at a time.
        policy: Whose word the sources are, and the limits.
        size: Most images of a batch; may be asked anew for each.
        source_of: An item's image; one that was admitted already is taken as it is.
        known: Whether an image of this sha256 is not needed again; asked before it is decoded, in
            another thread. Its sha256 stands for such an image.
    """

    def read(item: Item) -> tuple[Item, AdmittedImage | Failure | str]:
        source = source_of(item)
        if isinstance(source, AdmittedImage):
            return item, source.sha256 if known and known(item, source.sha256) else source
        try:
            return item, admit_unknown(source, policy, lambda h: bool(known and known(item, h)))
        except ImageError as error:
            name = source_name(source)
            return item, Failure(source=name, error=str(error), kind=type(error).__name__)

    waiting = iter(items)
    batch: list[tuple[Item, AdmittedImage | Failure | str]] = []
    pixels = 0
    most = size() if callable(size) else size
    with ThreadPoolExecutor(2) as readers:
        while part := list(islice(waiting, _READ_AT_ONCE)):
            for item, image in readers.map(read, part):
                more = 0
                if isinstance(image, AdmittedImage):
                    more = image.rgb.width * image.rgb.height
                if batch and pixels + more > BATCH_PIXELS:
                    yield batch
                    batch, pixels = [], 0
                batch.append((item, image))
                pixels += more
                if len(batch) >= most:
                    yield batch
                    batch, pixels = [], 0
                    most = size() if callable(size) else size
    if batch:
        yield batch
