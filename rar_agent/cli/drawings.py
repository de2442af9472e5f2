"""Where detections are drawn to, and that nothing is written over what is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path, PurePath

from PIL import Image

from rar_agent.detection.draw import draw
from rar_agent.errors import InputError
from rar_agent.images import source_name
from rar_agent.types import Detections

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def spare(targets: Iterable[Path], read: Iterable[str | Path]) -> None:
    """Refuse to write over files that are read, by whatever name or link.

    Args:
        targets: Are to be written.
        read: Files, or names that are none, such as URLs.

    Raises:
        InputError: One is both.
    """
    kept = {place for one in read if (place := _place(one))}
    for target in targets:
        if _place(target) in kept:
            raise InputError(
                f"'{target}' is read, and would be overwritten.", "Name another place to write to."
            )


def _place(file: str | Path) -> tuple[int, int] | None:
    """What a file is to the system; None where there is none."""
    try:
        found = Path(file).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


class Drawings:
    """Where detections are drawn to.

    Args:
        place: A file, or a folder, which is made; several images want a folder.
        sources: The images, as they were named.
        read: All files that must not be overwritten.

    Raises:
        InputError: It is neither, cannot be written, or a drawing would be one of the files.
    """

    def __init__(self, place: Path, sources: Sequence[str], read: Iterable[str | Path]) -> None:
        self.place = place
        images = len(sources)
        folder = images > 1 or place.is_dir()
        is_file = place.suffix.lower() in _SUFFIXES
        if folder and (place.is_file() or (is_file and not place.is_dir())):
            raise InputError(f"'{place}' is no folder for {images} images.", "Name a folder.")
        if not folder and not (is_file and place.absolute().parent.is_dir()):
            raise InputError(
                f"'{place}' cannot be written.",
                "Name a .png, .jpg or .webp file in a folder there is.",
            )
        self._paths = [place / name for name in _names(sources)] if folder else [place]
        spare(self._paths, read)
        if folder:
            with _writing(place):
                place.mkdir(parents=True, exist_ok=True)

    def save(self, at: int, image: Image.Image, found: Detections, least: float) -> None:
        """Draw one image's.

        Args:
            at: Its place among the sources.
            image: It, upright.
            found: Of it.
            least: The least score that is drawn.

        Raises:
            InputError: The file cannot be written.
        """
        drawn = draw(image, found, least)
        with _writing(self._paths[at]):
            drawn.save(self._paths[at])


def _names(sources: Iterable[str]) -> Iterator[str]:
    """A name for each, after its own, and no two alike to systems that know no capitals."""
    taken = set[str]()
    for source in sources:
        stem = PurePath(source_name(source)).stem or "image"
        names = chain([f"{stem}.png"], (f"{stem}-{again}.png" for again in count(2)))
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        yield name


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be written: {error}.", "Name another place.") from error
