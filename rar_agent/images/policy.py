"""Who may name what, and how large it may be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rar_agent.errors import ImageError
from rar_agent.settings import Settings

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
class Policy:
    """What a source may name.

    Attributes:
        authority: Whose word it is.
        roots: Folders whose files a model may name.
        allow_urls: Whether public https URLs may be fetched, by anyone.
        limits: Bounds on bytes, pixels and frames.
    """

    authority: Authority = "caller"
    roots: tuple[Path, ...] = ()
    allow_urls: bool = False
    limits: Limits = Limits()

    @classmethod
    def of(cls, settings: Settings, authority: Authority = "caller") -> Policy:
        """The policy that the settings ask for."""
        limits = Limits(settings.max_bytes, settings.max_pixels, settings.max_frames)
        return cls(authority, settings.roots, settings.allow_urls, limits)

    def path(self, path: Path) -> Path:
        """Resolve a path that may be read.

        Raises:
            ImageError: The authority may not read it, or it is no regular file.
        """
        try:
            return self._resolve(path)
        except (OSError, ValueError, RuntimeError) as error:  # too long, a loop, no such home, …
            raise ImageError(
                f"'{printable(str(path))}' is no usable path: {error}.", "Check it."
            ) from error

    def _resolve(self, path: Path) -> Path:
        if self.authority == "model" and not self.roots:
            raise ImageError(
                f"'{path}' may not be read: no folder is open to models.",
                "Refer to an attached image by its handle (image_1), or have the operator set "
                "RAR_ROOTS to a folder.",
            )
        if self.authority == "model":
            return self._under_a_root(path)
        resolved = path.expanduser().resolve()
        if not resolved.is_file():  # a FIFO or a device would block or never end
            kind = "is a folder" if resolved.is_dir() else "is not a file"
            raise ImageError(f"'{path}' {kind}.", "Give the path of an image file.")
        return resolved

    def _under_a_root(self, path: Path) -> Path:
        # resolve() follows links, so a link that leaves the root is refused too
        for root in (root.expanduser().resolve() for root in self.roots):
            resolved = (root / path).resolve()
            if resolved.is_relative_to(root) and resolved.is_file():
                return resolved
        raise ImageError(
            f"'{path}' is not a file under the folders open to models.",
            "Name a file inside them, relative to the folder.",
        )
