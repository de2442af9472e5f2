"""Memories that are kept elsewhere: their folder here is a mirror, without vectors.

A memory is named by an address instead of a name, `milvus://host:19530/birds`. What it holds but
for its vectors and pictures is mirrored into a folder of the usual format, and opened from there
by the same code and the same checks. `generation.py` asks the origin which generation is valid,
and gives it each new one; `segment.py` asks it for vectors.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import ConfigurationError, NotFoundError
from rar_agent.forks import Lock

if TYPE_CHECKING:
    from rar_agent.encoders import FloatArray
    from rar_agent.memory.format.manifest import FileRef, Manifest
    from rar_agent.types import Modality

MIRRORS = "mirrors"
"""Folder of mirrors, beside that of memories."""
KINDS = {"milvus": "rar_agent.scale.milvus", "milvus+tls": "rar_agent.scale.milvus"}
"""Modules that keep memories elsewhere, by the scheme of an address.

Imported by name, and only then: they stand above the memory and have libraries of their own."""
AWAY = frozenset({"vectors", "jpegs", "faiss"})
"""Kinds of files that a mirror does not have."""


class Rows(Protocol):
    """(n, d) float32, mapped or elsewhere; rows are read when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | int | NDArray[np.integer], /) -> FloatArray: ...


class Bytes(Protocol):
    """(n,) uint8, likewise."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> NDArray[np.uint8]: ...


class Origin(Protocol):
    """Where a mirrored memory is kept. Thread-safe.

    Attributes:
        address: As a message may show it, without secrets.
        server: Likewise, without the memory's name.
    """

    address: str
    server: str

    @property
    def index(self) -> str:
        """The index of its vectors, in a few words."""
        ...

    def pull(self, folder: Path, fresh_s: float = 0.0) -> None:
        """Bring a mirror to the generation that is valid there; without one, to none.

        Args:
            folder: The mirror's; made if it is not there.
            fresh_s: Seconds for which what was seen last still counts.

        Raises:
            ServerError: It cannot be asked.
            DamagedDataError: What it gives is not what was written.
        """
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Be the one writer.

        Raises:
            BusyError: There is another.
        """
        ...

    def push(self, folder: Path, manifest: Manifest, data: bytes, current: bytes) -> None:
        """Make a generation the valid one; before this returns nobody sees anything of it.

        Args:
            folder: The mirror's, with the files of what is new.
            manifest: Of the new generation.
            data: The same, as it is written.
            current: What CURRENT will say.

        Raises:
            BusyError: Another writer took over.
        """
        ...

    def vectors(self, entries: NDArray[np.void], dimension: int) -> Rows:
        """Vectors of entries, (n,) of `ENTRY`."""
        ...

    def pictures(self, ref: FileRef) -> Bytes:
        """Bytes of a file of thumbnails."""
        ...

    def nearest(
        self,
        modality: Modality,
        queries: FloatArray,
        count: int,
        last: int,
        categories: tuple[NDArray[np.int64], bool] | None,
        removed: NDArray[np.int64],
    ) -> list[tuple[FloatArray, NDArray[np.int64]]]:
        """For each query the cosines and ids of up to `count` entries near it, nearest first.

        Args:
            modality: Of the entries.
            queries: (q, d) unit rows.
            count: Entries wanted.
            last: The largest id that is on record; others are not committed.
            categories: Ids of categories, and whether only these pass or all others; None: all.
            removed: Ids of entries that do not pass.
        """
        ...

    def tidy(self, gone: NDArray[np.int64], count: int, dimension: int) -> None:
        """Drop entries that were removed, and give the rest the index that suits as many."""
        ...

    def verify(self, folder: Path, manifest: Manifest) -> list[str]:
        """Hash what the mirror does not have; returns what is wrong, one sentence each."""
        ...

    def delete(self) -> None:
        """Delete the memory and all it knows."""
        ...


_origins: dict[Path, Origin] = {}
_lock = Lock()


def is_address(name: str) -> bool:
    """Whether a memory's name is an address."""
    return "://" in name


def refuse_address(name: str, own: str) -> None:
    """Refuse an address that a client or a model chose: a token of ours would go there.

    Args:
        name: What was chosen.
        own: The settings' memory, which may be one.

    Raises:
        NotFoundError: It is an address, and not the settings' own.
    """
    if is_address(name) and name != own:
        shown = name.rpartition("@")[2][:64]  # a password may come before
        raise NotFoundError(
            f"There is no memory '{shown}'.", "Name one that the settings name, or one here."
        )


def mirror_folder(home: Path, address: str) -> Path:
    """Folder of a memory's mirror, whether it exists or not; asks nobody.

    Raises:
        InputError: It is no address of a memory.
        ConfigurationError: Nothing here speaks to such a place.
    """
    scheme = address.partition("://")[0].lower()
    if scheme not in KINDS:
        raise ConfigurationError(
            f"'{scheme}://' is no place where memories are kept.",
            f"Known are {', '.join(f'{kind}://' for kind in KINDS)}.",
        )
    origin: Origin = import_module(KINDS[scheme]).origin(address)
    place = hashlib.sha256(origin.address.encode()).hexdigest()[:16]
    name = origin.address.rpartition("/")[2]
    folder = home.expanduser().absolute() / MIRRORS / place / name
    with _lock:
        _origins[folder] = origin
    return folder


def origin_of(folder: Path) -> Origin | None:
    """Where the memory of a folder is kept, if that is elsewhere."""
    return _origins.get(folder)


def called(folder: Path) -> str:
    """What commands call a folder's memory: its name, or its address."""
    origin = origin_of(folder)
    return origin.address if origin else folder.name


def whereabouts(folder: Path) -> str:
    """Where a folder's memory is, for messages."""
    origin = origin_of(folder)
    return origin.server if origin else str(folder.parent)
