"""Many images: read by threads, in order, in batches bounded by number and by pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from rar_agent.errors import ImageError
from rar_agent.images.admit import AdmittedImage, ImageSource, admit, source_name
from rar_agent.images.policy import Policy
from rar_agent.types import Failure

BATCH_PIXELS = 32_000_000
"""Decoded pixels of a batch, 4 bytes each; one larger image is a batch of its own."""

_READ_AT_ONCE = 4  # decoded beyond the bound, at most


def read_batches(
    sources: Iterable[ImageSource], policy: Policy, size: int
) -> Iterator[list[AdmittedImage | Failure]]:
    """Admit images in batches of at most `size`; what cannot be read is a failure in its place."""

    def try_admit(source: ImageSource) -> AdmittedImage | Failure:
        try:
            return admit(source, policy)
        except ImageError as error:
            return Failure(source=source_name(source), error=str(error), kind=type(error).__name__)

    waiting = iter(sources)
    batch: list[AdmittedImage | Failure] = []
    pixels = 0
    with ThreadPoolExecutor(2) as readers:
        while part := list(islice(waiting, _READ_AT_ONCE)):
            for image in readers.map(try_admit, part):
                more = 0 if isinstance(image, Failure) else image.rgb.width * image.rgb.height
                if batch and (len(batch) >= size or pixels + more > BATCH_PIXELS):
                    yield batch
                    batch, pixels = [], 0
                batch.append(image)
                pixels += more
    if batch:
        yield batch
