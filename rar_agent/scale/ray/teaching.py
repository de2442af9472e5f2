"""Teaching with Ray: shards are encoded by actors, and learnt here in the readers' order."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from rar_agent.encoders import FloatArray
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.memory.readers import Reader, Sample
from rar_agent.memory.readers.placed import placed
from rar_agent.memory.teaching.seeing import Item, Knows, Seen
from rar_agent.scale.ray.encoding import try_failures_again, unpacked
from rar_agent.scale.ray.run import Run
from rar_agent.scale.ray.written import Sent
from rar_agent.types import Failure

LAG_S = 60.0
"""Seconds that a file on shared storage may take to be seen here."""


class SeeingByRay:
    """Sees images in actors; see `memory.teaching.seeing.Seeing`.

    Args:
        run: Where shards and results lie.
        reader: Whose images they are.
        done: Has shards done, and gives their numbers in any order.
    """

    def __init__(self, run: Run, reader: Reader, done: Iterator[int]) -> None:
        self._run = run
        self._reader = reader
        self._done = done

    def samples(self, reader: Reader) -> Iterator[Sample | Failure]:
        """See `Seeing.samples`."""
        return placed(reader)

    def batches(
        self,
        items: Iterable[Item],
        knows: Knows,  # noqa: ARG002 - what is known is seen by its sha256 afterwards
    ) -> Iterator[list[tuple[Item, Seen | Failure | str]]]:
        """See `Seeing.batches`; a batch is a shard."""
        self._run.write_down(images_of(self._reader))
        try_failures_again(self._run)
        left = iter(items)
        for number in range(self._run.shards):
            await_result(self._run, number, self._done)
            rows = unpacked(self._run.result(number), self._run.mark(number))
            batch = list(islice(left, len(rows)))
            if len(batch) < len(rows):
                raise _changed()
            yield list(zip(batch, rows, strict=True))
        if next(left, None) is not None:  # reads on: names alone may follow the last image
            raise _changed()

    def vectors(self, seen: Sequence[Seen]) -> FloatArray:
        """See `Seeing.vectors`."""
        return np.stack([image.vector for image in seen if image.vector is not None])


def _changed() -> InputError:
    return InputError("The inputs changed while they were read.", "Run the same again.")


def images_of(reader: Reader) -> Iterator[Sent]:
    """The images of a reader, or their places."""
    for sample in placed(reader):
        if isinstance(sample, Sample):
            image = sample.place if sample.place is not None else sample.image
            if image is not None:
                yield image


def await_result(run: Run, number: int, done: Iterator[int]) -> None:
    """Wait until a shard's result is there.

    Raises:
        ConfigurationError: It was done, and its file is not seen here.
    """
    while not run.result(number).exists():
        if next(done, None) is None:
            break
    end = time.monotonic() + LAG_S
    while not run.result(number).exists():
        if time.monotonic() > end:
            raise ConfigurationError(
                f"All shards are done, and the result of shard {number} is not seen here.",
                "Set RAR_RAY_FOLDER to a folder that all nodes share, and this one too.",
            )
        time.sleep(0.2)
        list(run.result(number).parent.iterdir())  # some network file systems look anew for that
