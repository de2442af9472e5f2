"""Callers at the same time: throughput and latency of `arecognize`, with and without gathering.

    python -m benchmarks.serving [--callers 1,8,64] [--images 64] [--runs 3] [--window MS]
        [--simulated]

Each caller asks about the next image as soon as it has its answer. The images are JPEGs of the
sample photo, all different; builtin encoder, no model. "Together" is as it is; "apart" is the same
with a forward pass for each image, in whatever thread asks. Both take turns; figures are medians of
runs. On a machine that others use too, CPU time says more than the clock: who has more threads gets
a greater share of it. `--simulated` has an encoder that only waits, 8 ms a pass and 0.3 ms an
image, about as a GPU would: it shows what gathering is worth where a pass costs more than its
images.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import time
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

import numpy as np
from PIL import Image

from benchmarks.figures import OURS, Figure, write
from benchmarks.latency import photos
from rar_agent import Recognizer
from rar_agent.encoders import FloatArray
from rar_agent.encoders.base import Pixels
from rar_agent.graph.embeddings import Embedding, Embeddings
from rar_agent.images import AdmittedImage

Row = tuple[str, float, str]
"""Name, value and unit."""

PASS_S, IMAGE_S = 0.008, 0.0003


class Apart(Embeddings):
    """What there was before: each image by a pass of its own, in the thread that asks."""

    async def aembed(self, image: AdmittedImage, prepared: Pixels | None = None) -> Embedding:
        """See `Embeddings.aembed`."""

        def encoded() -> tuple[FloatArray, FloatArray]:
            pixels = self._encoder.prepare(image.rgb) if prepared is None else prepared
            return self._encoder.encode_prepared([pixels])

        vectors, norms = await asyncio.to_thread(encoded)
        return vectors[0], norms[0]


class Waiting:
    """An encoder whose one device takes so long for a pass, and so long for an image of it."""

    def __init__(self, encoder: Any) -> None:  # noqa: ANN401
        self._encoder, self._free_at = encoder, 0.0
        self._row = encoder.encode_images_with_norms([Image.new("RGB", (64, 64))])

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._encoder, name)

    def encode_prepared(self, images: Sequence[Pixels]) -> tuple[FloatArray, FloatArray]:
        """See `Encoder.encode_prepared`."""
        took = PASS_S + len(images) * IMAGE_S
        self._free_at = max(self._free_at, time.perf_counter()) + took
        time.sleep(max(0.0, self._free_at - time.perf_counter()))
        vectors, norms = self._row
        return np.repeat(vectors, len(images), 0), np.repeat(norms, len(images))


def figures(
    callers: Sequence[int] = (1, 8, 64),
    images: int = 64,
    runs: int = 3,
    window_ms: float = 0,
    simulated: bool = False,
) -> list[Figure]:
    """Measure.

    Args:
        callers: How many at the same time.
        images: In one run, all different.
        runs: Of each; medians are told.
        window_ms: The setting `encode_window_ms`.
        simulated: Whether the encoder only waits.
    """
    recognizer = Recognizer(device="cpu", encode_window_ms=window_ms)
    recognizer.recognize(photos(None, 1)[0])  # what is loaded once
    services, settings = recognizer.services, recognizer.settings
    encoder: Any = Waiting(services.encoder) if simulated else services.encoder
    ways = {
        "together": Embeddings(encoder, settings.batch_size, window_ms / 1000),
        "apart": Apart(encoder, 1),
    }
    asked = [_jpeg(photo) for photo in photos(None, images)]
    told: list[Figure] = []
    for count in callers:
        found: dict[str, list[list[Row]]] = {way: [] for way in ways}
        for _ in range(runs):
            for way, embeddings in ways.items():
                vars(services)["_embedded"] = embeddings
                embeddings.clear()
                found[way].append(asyncio.run(_run(recognizer, asked, count)))
        for way, several in found.items():
            for same in zip(*several, strict=True):
                name, _, unit = same[0]
                values = tuple(value for _, value, _ in same)
                who = OURS if way == "together" else "a pass for each image"
                told.append(Figure(f"{count} callers: {name}", unit, values, who))
    return told


async def _run(recognizer: Recognizer, asked: Sequence[bytes], callers: int) -> list[Row]:
    left, seconds = list(asked), []

    async def ask() -> None:
        while left:
            image, start = left.pop(), time.perf_counter()
            await recognizer.arecognize(image)
            seconds.append(time.perf_counter() - start)

    start, start_cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(ask() for _ in range(callers)))
    took, took_cpu = time.perf_counter() - start, time.process_time() - start_cpu
    shares = zip((50, 95, 99), np.percentile(seconds, [50, 95, 99]), strict=True)
    return [
        ("throughput", len(asked) / took, "images/s"),
        ("CPU time", 1000 * took_cpu / len(asked), "ms an image"),
        *((f"p{share}", 1000 * float(value), "ms") for share, value in shares),
    ]


def _jpeg(photo: Any) -> bytes:  # noqa: ANN401
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=90)
    return file.getvalue()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--callers", default="1,8,64")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--window", type=float, default=0, help="Milliseconds.")
    parser.add_argument("--simulated", action="store_true")
    args = parser.parse_args()
    callers = [int(count) for count in args.callers.split(",")]
    write(figures(callers, args.images, args.runs, args.window, args.simulated))


if __name__ == "__main__":
    main()
