"""Encoding in actors: a shard's images become one file of vectors, which teaching then reads."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from rar_agent.encoders import Encoder, Fingerprint, FloatArray, load_encoder
from rar_agent.errors import ConfigurationError, DamagedDataError, ImageError, InputError
from rar_agent.images import AdmittedImage, ImageSource, Policy, read_batches
from rar_agent.memory.teaching.exemplars import Views, encode_exemplars
from rar_agent.memory.teaching.seeing import Seen, Work
from rar_agent.scale.ray.run import Run, mark_of
from rar_agent.scale.ray.written import read_back
from rar_agent.settings import Settings
from rar_agent.types import Failure

Load = Callable[[], Encoder]
"""Loads the encoder in an actor."""


@dataclass(frozen=True)
class Encoding:
    """How actors encode.

    Attributes:
        load: Loads their encoder.
        fingerprint: That it has to have.
        policy: Limits on the images.
        views: What of an image is encoded.
        thumbnails: Longer side of the pictures that are kept.
    """

    load: Load
    fingerprint: Fingerprint
    policy: Policy
    views: Views
    thumbnails: int

    def begin(self, run: Run) -> EncodingShards:
        """What does shards, in an actor.

        Raises:
            FingerprintMismatchError: Its encoder is another than the driver's.
            ConfigurationError: It runs in another precision.
        """
        encoder = self.load()
        self.fingerprint.require(
            encoder.fingerprint, "The memory's driver", "Install the same weights on all nodes."
        )
        if encoder.fingerprint.precision != self.fingerprint.precision:
            raise ConfigurationError(
                f"A worker encodes in {encoder.fingerprint.precision}, and the driver in "
                f"{self.fingerprint.precision}.",
                f"Set RAR_PRECISION={self.fingerprint.precision.partition('-')[0]}.",
            )
        return EncodingShards(run, Work(encoder, self.policy, self.views, self.thumbnails))


def loading(name: str, settings: Settings) -> Load:
    """Loads an encoder by name, as the settings say."""
    return partial(load_encoder, name, settings)


class EncodingShards:
    """Encodes shards.

    Args:
        run: Where they lie.
        work: How images are seen.
    """

    def __init__(self, run: Run, work: Work) -> None:
        self._run = run
        self._work = work

    def do(self, number: int, alive: Callable[[], None]) -> None:
        """See `worker.Doing`."""
        if self._run.result(number).exists():
            return
        lines = self._run.lines(number)
        rows: list[Seen | Failure | None] = [None] * len(lines)
        if self._run.before(number).exists():
            rows = [row if isinstance(row, Seen) else None for row in self._before(number)]
        work = self._work
        for batch in read_batches(
            _readable(lines, rows), work.policy, work.batch, _source, work.seen, detail=work.detail
        ):
            seen = [(at, one) for (at, _), one in batch if isinstance(one, Seen)]
            if seen:
                vectors = encode_exemplars(work.encoder, [one.views for _, one in seen])
                for (at, one), vector in zip(seen, vectors, strict=True):
                    rows[at] = replace(one, views=(), vector=vector)
            for (at, _), failed in batch:
                if isinstance(failed, Failure):
                    rows[at] = failed
            alive()
        self._run.keep(number, packed([row for row in rows if row is not None], mark_of(lines)))

    def _before(self, number: int) -> list[Seen | Failure]:
        """What was seen of a shard, of which failures are tried again."""
        return unpacked(self._run.before(number), self._run.mark(number))


def _readable(
    lines: Sequence[bytes], rows: list[Seen | Failure | None]
) -> Iterator[tuple[int, ImageSource | AdmittedImage]]:
    """Images of empty rows that could be read of their files, each with its place in the shard."""
    left = [at for at, row in enumerate(rows) if row is None]
    for at, image in zip(left, read_back(lines[at] for at in left), strict=True):
        if isinstance(image, ImageError):
            rows[at] = Failure(source="", error=str(image), kind=type(image).__name__)
        else:
            yield at, image


def _source(item: tuple[int, ImageSource | AdmittedImage]) -> ImageSource | AdmittedImage:
    return item[1]


def packed(rows: Sequence[Seen | Failure], mark: str) -> bytes:
    """What was seen of a shard's images, as bytes of a .npz.

    Args:
        rows: One an image.
        mark: Of the shard's list.
    """
    seen = [row for row in rows if isinstance(row, Seen)]
    said = [
        {"error": row.error, "kind": row.kind} if isinstance(row, Failure) else row.sha256
        for row in rows
    ]
    vectors = [row.vector for row in seen if row.vector is not None]
    file = io.BytesIO()
    np.savez(
        file,
        mark=np.frombuffer(mark.encode(), np.uint8),
        said=np.frombuffer(json.dumps(said).encode(), np.uint8),
        vectors=np.stack(vectors) if vectors else np.empty((0, 0), np.float32),
        lengths=np.array([len(row.thumbnail) for row in seen], np.int64),
        thumbnails=np.frombuffer(b"".join(row.thumbnail for row in seen), np.uint8),
    )
    return file.getvalue()


def try_failures_again(run: Run) -> None:
    """Reopen shards of a run that goes on: those with failures, and those of another list."""
    for number in sorted(run.finished() & set(range(run.shards))):
        file = run.result(number)
        with _undamaged(file), np.load(file, allow_pickle=False) as found:
            mark, said = found["mark"].tobytes().decode(), json.loads(found["said"].tobytes())
        if mark != run.mark(number):
            run.forget(number)
        elif any(isinstance(one, dict) for one in said):
            run.reopen(number)


def unpacked(file: Path, mark: str) -> list[Seen | Failure]:
    """What was seen of a shard's images, read again.

    Args:
        file: As `packed` made it.
        mark: Of the shard's list.

    Raises:
        InputError: It was made of another list.
        DamagedDataError: The file is damaged.
    """
    with _undamaged(file):
        with np.load(file, allow_pickle=False) as found:
            made_of = found["mark"].tobytes().decode()
            said = json.loads(found["said"].tobytes())
            vectors: FloatArray = found["vectors"]
            ends = np.cumsum(found["lengths"])
            thumbnails = found["thumbnails"].tobytes()
        rows: list[Seen | Failure] = []
        at = 0
        for one in said:
            if isinstance(one, dict):
                rows.append(Failure(source="", error=one["error"], kind=one["kind"]))
                continue
            begin = int(ends[at - 1]) if at else 0
            rows.append(Seen(one, thumbnails[begin : int(ends[at])], vector=vectors[at]))
            at += 1
    if made_of != mark:  # by a worker of a driver that was killed
        raise InputError("The inputs changed while they were read.", "Run the same again.")
    return rows


@contextmanager
def _undamaged(file: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever zipfile and NumPy raise of bytes
        raise DamagedDataError(
            f"'{file}' cannot be read: {error}.", "Delete it, and run the same again."
        ) from error
