"""What a memory is taught from: a folder of folders, a list of names."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from rar_agent.errors import InputError
from rar_agent.images.policy import printable
from rar_agent.types import Category

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})


def read_folder(
    folder: Path, shots: int | None = None, seed: int = 0
) -> list[tuple[Category, list[Path]]]:
    """Categories and their images from FOLDER/CATEGORY/….

    Underscores in folder names become spaces. Images may lie deeper than one level.

    Args:
        folder: The folder of folders.
        shots: At most this many images a category, drawn with the seed, not the first.
        seed: Of the draw; it does not depend on the other categories.

    Raises:
        InputError: It is no folder, or has no folder with images.
    """
    if not folder.is_dir():
        raise InputError(f"'{folder}' is not a folder.", "Give a folder with a folder a category.")
    folder = folder.resolve()  # exemplars are found again from anywhere
    found = []
    for place in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        images = sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if shots is not None and len(images) > shots:
            draw = random.Random(f"{seed}:{place.name}")
            images = sorted(draw.sample(images, shots))
        if images:
            found.append((_category(place.name.replace("_", " "), str(folder)), images))
    if not found:
        raise InputError(
            f"'{folder}' has no folders with images.",
            f"Put the images of each category into a folder of its name: {folder}/robin/1.jpg. "
            f"Read are {', '.join(sorted(SUFFIXES))}.",
        )
    names = [category.name for category, _ in found]
    _refuse_repeats(names, str(folder))
    return found


def read_names(file: Path) -> list[Category]:
    """Categories from a text file: a name a line; empty lines and lines from # on are skipped.

    Raises:
        InputError: It cannot be read, is empty, or repeats a name.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"'{file}' cannot be read: {error}.", "Give the path of a UTF-8 text file."
        ) from error
    names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not names:
        raise InputError(f"'{file}' has no names.", "Write one name a line.")
    _refuse_repeats(names, str(file))
    return [_category(name, str(file)) for name in names]


def _category(name: str, where: str) -> Category:
    try:
        return Category(name=printable(name).strip())
    except ValidationError as error:
        raise InputError(
            f"'{printable(name)[:60]}' in {where} cannot name a category: "
            f"{error.errors()[0]['msg'].lower()}.",
            "Rename it.",
        ) from error


def _refuse_repeats(names: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"'{name}' appears twice in {where}.", "Keep one of them.")
        seen.add(name)
