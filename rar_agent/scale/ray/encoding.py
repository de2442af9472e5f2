"""Encoding in actors: a shard's images become one file of vectors, which teaching then reads."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from rar_agent.encoders import Encoder, Fingerprint, FloatArray, load_encoder
from rar_agent.errors import ConfigurationError, DamagedDataError, ImageError
from rar_agent.images import AdmittedImage, ImageSource, Policy, read_batches
from rar_agent.memory.teaching.exemplars import Views, encode_exemplars
from rar_agent.memory.teaching.seeing import Seen, Work
from rar_agent.scale.ray.run import Run
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
        self._run.keep(number, packed([row for row in rows if row is not None]))


def _readable(
    lines: Sequence[bytes], rows: list[Seen | Failure | None]
) -> Iterator[tuple[int, ImageSource | AdmittedImage]]:
    """Images that could be read of their files, each with its place in the shard."""
    for at, image in enumerate(read_back(lines)):
        if isinstance(image, ImageError):
            rows[at] = Failure(source="", error=str(image), kind=type(image).__name__)
        else:
            yield at, image


def _source(item: tuple[int, ImageSource | AdmittedImage]) -> ImageSource | AdmittedImage:
    return item[1]


def packed(rows: Sequence[Seen | Failure]) -> bytes:
    """What was seen of a shard's images, as bytes of a .npz."""
    seen = [row for row in rows if isinstance(row, Seen)]
    said = [
        {"error": row.error, "kind": row.kind} if isinstance(row, Failure) else row.sha256
        for row in rows
    ]
    vectors = [row.vector for row in seen if row.vector is not None]
    file = io.BytesIO()
    np.savez(
        file,
        said=np.frombuffer(json.dumps(said).encode(), np.uint8),
        vectors=np.stack(vectors) if vectors else np.empty((0, 0), np.float32),
        lengths=np.array([len(row.thumbnail) for row in seen], np.int64),
        thumbnails=np.frombuffer(b"".join(row.thumbnail for row in seen), np.uint8),
    )
    return file.getvalue()


def unpacked(file: Path) -> list[Seen | Failure]:
    """The same, read again.

    Raises:
        DamagedDataError: The file is damaged.
    """
    try:
        with np.load(file, allow_pickle=False) as found:
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
    except Exception as error:  # whatever zipfile and NumPy raise of bytes
        raise DamagedDataError(
            f"'{file}' cannot be read: {error}.", "Delete it, and run the same again."
        ) from error
    return rows
