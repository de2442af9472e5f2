"""Embeddings kept on disk: no image is encoded twice, in whatever cell or run it comes again."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from rar_agent.encoders import Encoder, Fingerprint, FloatArray
from rar_agent.encoders.base import Pixels
from rar_agent.forks import Lock
from rar_agent.telemetry import events

_log = events(__name__)

_AT_ONCE = 500  # keys of a query: SQLite takes 32,766
_TABLE = "CREATE TABLE IF NOT EXISTS kept(key BLOB PRIMARY KEY, row BLOB NOT NULL)"


class KeptEncoder:
    """An encoder whose image embeddings are kept, by fingerprint and prepared pixels. Thread-safe.

    Where they cannot be kept, that is logged, and images are encoded each time.

    Args:
        encoder: Encodes what is not kept.
        folder: Where a file for each fingerprint lies; processes share it.
    """

    def __init__(self, encoder: Encoder, folder: Path) -> None:
        self._encoder = encoder
        mark = encoder.fingerprint
        self._path = folder / f"{mark.identity}-{mark.precision}.sqlite"
        self._lock = Lock()
        self._keeps = True
        with self._where_possible():
            folder.mkdir(parents=True, exist_ok=True)
            with self._connected() as db:
                db.execute("PRAGMA journal_mode=WAL")
                db.execute(_TABLE)
        self.encoded = 0
        """Images that were not kept before."""

    @property
    def name(self) -> str:
        """The encoder's."""
        return self._encoder.name

    @property
    def dimension(self) -> int:
        """The encoder's."""
        return self._encoder.dimension

    @property
    def device(self) -> str:
        """The encoder's."""
        return self._encoder.device

    @property
    def fingerprint(self) -> Fingerprint:
        """The encoder's."""
        return self._encoder.fingerprint

    @property
    def text_scale(self) -> float:
        """The encoder's."""
        return self._encoder.text_scale

    @property
    def names_help(self) -> bool:
        """The encoder's."""
        return self._encoder.names_help

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """See `Encoder.encode_texts`; texts are not kept."""
        return self._encoder.encode_texts(texts)

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """See `Encoder.encode_images`."""
        return self.encode_images_with_norms(images)[0]

    @property
    def detail(self) -> int:
        """The encoder's."""
        return self._encoder.detail

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Encoder.prepare`."""
        return self._encoder.prepare(image)

    def encode_images_with_norms(
        self, images: Sequence[Image.Image]
    ) -> tuple[FloatArray, FloatArray]:
        """See `Encoder.encode_images_with_norms`."""
        return self.encode_prepared([self.prepare(image) for image in images])

    def encode_prepared(self, images: Sequence[Pixels]) -> tuple[FloatArray, FloatArray]:
        """See `Encoder.encode_prepared`."""
        keys = [_key(image) for image in images]
        with self._lock:
            kept = self._read(keys)
            new = {key: image for key, image in zip(keys, images, strict=True) if key not in kept}
            if new:
                rows, norms = self._encoder.encode_prepared(list(new.values()))
                made = np.column_stack([rows, norms]).astype(np.float32)
                kept |= dict(zip(new, made, strict=True))
                self._write({key: kept[key] for key in new})
                self.encoded += len(new)
        found = np.stack([kept[key] for key in keys])
        return np.ascontiguousarray(found[:, :-1]), np.ascontiguousarray(found[:, -1])

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, FloatArray]:
        found: dict[bytes, FloatArray] = {}
        with self._where_possible(), self._connected() as db:
            for at in range(0, len(keys), _AT_ONCE):
                some = keys[at : at + _AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = db.execute(f"SELECT key, row FROM kept WHERE key IN ({marks})", some)  # noqa: S608 - question marks alone
                found |= {key: np.frombuffer(row, np.float32) for key, row in rows}
        return {key: row for key, row in found.items() if len(row) == self.dimension + 1}

    def _write(self, rows: dict[bytes, FloatArray]) -> None:
        with self._where_possible(), self._connected() as db:
            db.executemany(
                "INSERT OR REPLACE INTO kept VALUES (?, ?)",
                [(key, row.tobytes()) for key, row in rows.items()],
            )

    @contextmanager
    def _where_possible(self) -> Iterator[None]:
        """Go on without what is kept, where the disk is full, or may only be read."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if self._keeps:
                self._keeps = False
                _log.warning("embeddings are not kept", file=self._path, error=error)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=60)) as db, db:
            yield db


def _key(image: Pixels) -> bytes:
    digest = hashlib.sha256(f"prepared {image.shape}".encode())
    digest.update(image.tobytes())
    return digest.digest()
