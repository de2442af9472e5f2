"""Who may name what, and how large it may be."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

from rar_agent.errors import ImageError
from rar_agent.settings import Settings

_KERNEL = (Path("/proc"), Path("/sys"), Path("/dev"))  # files there act or tell secrets when read
_FOLDER = os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)  # one may be closed to listing

Authority = Literal["caller", "model"]
"""`caller`: the user's own code or command. `model`: a string that a language model chose, or
that came over a network; it may name only files under a root and allowed URLs."""


def printable(name: str) -> str:
    """A name without the half characters that undecodable file names are read as."""
    return name.encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True)
class Limits:
    """Bounds that are checked before anything is decoded."""

    max_bytes: int = 50_000_000
    max_pixels: int = 80_000_000
    max_frames: int = 1_000


@dataclass(frozen=True)
class FetchPolicy:
    """What may be fetched: always https, from public addresses alone.

    Attributes:
        ports: Where servers may listen.
        redirects: Most that are followed; each is checked like a new URL.
        seconds: For a whole fetch, redirects included.
        step_seconds: For one connect, read or write.
    """

    ports: frozenset[int] = frozenset({443})
    redirects: int = 3
    seconds: float = 20.0
    step_seconds: float = 5.0


@dataclass(frozen=True)
class Isolation:
    """Bounds on the process that decodes an image for this one.

    Attributes:
        seconds: Of processor time, and by the clock.
        megabytes: Of its address space.
    """

    seconds: float = 30.0
    megabytes: int = 3_000


@dataclass(frozen=True)
class Policy:
    """What a source may name.

    Attributes:
        authority: Whose word it is.
        roots: Folders whose files a model may name.
        fetching: What may be fetched, by anyone; None: nothing.
        limits: Bounds on bytes, pixels and frames.
        whole: Whether JPEGs are decoded at full size even where less detail is wanted.
        isolation: Bounds on the process that decodes; None: it is this one.
    """

    authority: Authority = "caller"
    roots: tuple[Path, ...] = ()
    fetching: FetchPolicy | None = None
    limits: Limits = Limits()
    whole: bool = False
    isolation: Isolation | None = None

    @classmethod
    def of(cls, settings: Settings, authority: Authority = "caller") -> Policy:
        """The policy that the settings ask for."""
        limits = Limits(settings.max_bytes, settings.max_pixels, settings.max_frames)
        fetching = FetchPolicy() if settings.allow_urls else None
        isolation = (
            Isolation(settings.isolate_seconds, settings.isolate_mb)
            if settings.isolate is True
            else None
        )
        whole = settings.decode_whole
        return cls(authority, settings.roots, fetching, limits, whole, isolation)

    @property
    def of_bytes(self) -> Policy:
        """The same for an image's own bytes, which give no right to read anything else."""
        return replace(self, authority="caller", roots=(), fetching=None)

    def open(self, path: Path) -> BinaryIO:
        """Open a file that may be read, to read its bytes.

        The file that is opened is the one that was checked, whatever is renamed or linked
        meanwhile. A model is told the same of what is not there and of what it may not read.

        Raises:
            ImageError: The authority may not read it, or it is no regular file.
        """
        if self.authority == "model":
            return self._open_under_a_root(path)
        try:
            resolved = path.expanduser().resolve()
            if not resolved.is_file():  # some devices act when they are opened
                kind = "is a folder" if resolved.is_dir() else "is not a file"
                raise ImageError(
                    f"'{printable(str(path))}' {kind}.", "Give the path of an image file."
                )
        except (OSError, ValueError, RuntimeError) as error:  # too long, a loop, no such home, …
            raise ImageError(
                f"'{printable(str(path))}' is no usable path: {error}.", "Check it."
            ) from error
        try:
            return _opened(resolved)
        except OSError as error:
            raise ImageError(
                f"'{printable(str(path))}' cannot be read: {error.strerror}.", "Check the file."
            ) from error

    def _open_under_a_root(self, path: Path) -> BinaryIO:
        if not self.roots:
            raise ImageError(
                f"'{printable(str(path))}' may not be read: no folder is open to models.",
                "Refer to an attached image by its handle (image_1), or have the operator set "
                "RAR_ROOTS to a folder.",
            )
        for root in self.roots:
            with suppress(OSError, ValueError, RuntimeError):
                found = _under(root.expanduser(), path)
                if found is not None:
                    return _opened_beneath(*found)
        raise ImageError(
            f"'{printable(str(path))}' is not a file under the folders open to models.",
            "Name a file inside them, relative to the folder.",
        )


def _under(root: Path, path: Path) -> tuple[Path, Path] | None:
    """A root and the place of a regular file in it, without links; None: it is not in there.

    What is outside by its name is not even looked at: that could mount a share.
    """
    real, given = root.resolve(), Path(os.path.normpath(root.absolute()))
    named = Path(os.path.normpath(given / path))
    if not named.is_relative_to(given) and not named.is_relative_to(real):
        return None
    resolved = named.resolve()
    hidden = any(resolved.is_relative_to(k) and not real.is_relative_to(k) for k in _KERNEL)
    if hidden or not resolved.is_relative_to(real) or not resolved.is_file():
        return None
    return real, resolved.relative_to(real)


def _opened_beneath(root: Path, place: Path) -> BinaryIO:
    """Open a file step by step from its root, following no link on the way.

    Raises:
        OSError: It is not there any more, or something else is.
    """
    folder = os.open(root, _FOLDER)
    try:
        for part in place.parts[:-1]:
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = below
        return _opened(place.name, folder)
    finally:
        os.close(folder)


def _opened(file: Path | str, folder: int | None = None) -> BinaryIO:
    """Open a regular file; a FIFO does not block, and is refused as devices are."""
    opened = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    if stat.S_ISREG(os.fstat(opened).st_mode):
        return os.fdopen(opened, "rb")
    os.close(opened)
    raise OSError(errno.EINVAL, "it is no regular file")
