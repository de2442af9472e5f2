"""Many images on their way into the graph: read, prepared and encoded in batches, ahead of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from rar_agent.encoders.base import Pixels
from rar_agent.graph.services import Services
from rar_agent.images import AdmittedImage, ImageSource, Policy, read_batches
from rar_agent.types import Failure


def encoded(
    images: Iterable[ImageSource | AdmittedImage], services: Services, size: Callable[[], int]
) -> Iterator[list[AdmittedImage | Failure]]:
    """Images in batches, in order, their embeddings known to the services.

    The next batch is read and prepared, in threads, while one is encoded and used.

    Args:
        images: The caller's own; read as they are wanted.
        services: For the encoder and the settings.
        size: Most images of the next batch.
    """
    encoder = services.encoder

    def made(image: AdmittedImage) -> tuple[tuple[AdmittedImage, Pixels], int]:
        return (image, encoder.prepare(image.rgb)), image.rgb.width * image.rgb.height

    policy = Policy.of(services.settings)
    for read in read_batches(
        images, policy, size, lambda image: image, made, detail=services.detail
    ):
        found = [one for _, one in read if isinstance(one, tuple)]
        if found:
            admitted, prepared = zip(*found, strict=True)
            services.embed_all(admitted, prepared)
        yield [
            one[0] if isinstance(one, tuple) else one
            for _, one in read
            if not isinstance(one, str)  # none is known before
        ]
