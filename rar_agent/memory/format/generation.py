"""Generations: a manifest that names files, and the atomic switch between manifests.

A crash at any point leaves the old or the new generation: files are complete and synced before a
manifest names them, and the manifest before CURRENT names it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from rar_agent.errors import ConfigurationError, DamagedDataError, NotFoundError, RarError
from rar_agent.memory.format.files import DATA, replace_file, sync_folder
from rar_agent.memory.format.location import CURRENT, advice
from rar_agent.memory.format.manifest import FORMAT_VERSION, MOST, Manifest
from rar_agent.memory.format.opened import damaged, open_regular, read_regular, reason
from rar_agent.memory.format.origin import AWAY, called, origin_of, whereabouts

_GENERATIONS = "generations"
FRESH_S = 2.0
"""Seconds after which a memory that is kept elsewhere is asked whether it has changed."""
_KEPT = 2  # generations that stay on disk: readers may still be opening the last one
_LARGEST = 256 << 20  # bytes of a manifest
_LARGEST_CURRENT = 4_096
_FILE = re.compile(rb"[0-9a-f]{64}\.[a-z0-9]+")


def read_manifest(folder: Path) -> Manifest:
    """The valid generation of a memory.

    Raises:
        NotFoundError: There is no memory in the folder.
        ConfigurationError: It has an older format; the message says how to bring it up to date.
        DamagedDataError: CURRENT or the manifest is damaged, or of a format unknown here.
    """
    refresh(folder)
    number, data = _read_manifest(folder)
    version = parsed(folder, number, data).get("format_version")
    if version == FORMAT_VERSION:
        try:
            manifest = Manifest.model_validate_json(data)
        except ValidationError as error:
            raise damaged(folder, manifest_name(number), error) from error
        if manifest.generation != number:
            why = f"generation: it is {manifest.generation}, and CURRENT says {number}"
            raise damaged(folder, manifest_name(number), why)
        return manifest
    if version == 1:
        raise ConfigurationError(
            f"Memory '{folder.name}' has format version 1; this rar-agent writes {FORMAT_VERSION}.",
            f"Bring it up to date, nothing is encoded again: rar-agent memory compact "
            f"{folder.name}",
        )
    raise DamagedDataError(
        f"Memory '{folder.name}' has format version {reason(version)[:20]}; this rar-agent reads 1 "
        f"and {FORMAT_VERSION}.",
        "Install the rar-agent that wrote it, or delete the memory and create it again.",
    )


def read_fields(folder: Path) -> dict[str, Any]:
    """The valid manifest's fields as they were written, of any format version, none checked.

    Raises:
        NotFoundError: There is no memory in the folder.
        DamagedDataError: CURRENT or the manifest is damaged.
    """
    refresh(folder)
    return parsed(folder, *_read_manifest(folder))


def parsed(folder: Path, number: int, data: bytes) -> dict[str, Any]:
    """Fields of a manifest, none checked.

    Raises:
        DamagedDataError: It is no JSON object.
    """
    try:
        fields = from_json(data)  # refuses what is nested too deep, unlike json
    except ValueError as error:
        raise damaged(folder, manifest_name(number), error) from error
    if not isinstance(fields, dict):
        raise damaged(folder, manifest_name(number), "it is no JSON object")
    return fields


def _read_manifest(folder: Path) -> tuple[int, bytes]:
    """Number and bytes of the valid manifest."""
    for name in (DATA, _GENERATIONS):
        if (folder / name).is_symlink():
            raise DamagedDataError(
                f"{folder / name} of memory '{folder.name}' is a link, not a folder.",
                "Put a folder with a copy of what it leads to in the link's place. To keep "
                "memories on another disk, set RAR_HOME.",
            )
    for _ in range(5):  # a writer may remove an old generation between the two reads
        number, digest = _read_current(folder)
        try:
            data = read_regular(folder / manifest_name(number), _LARGEST)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise damaged(folder, manifest_name(number), error) from error
        if hashlib.sha256(data).hexdigest() != digest:
            why = "it does not have the sha256 that CURRENT names"
            raise damaged(folder, manifest_name(number), why)
        return number, data
    raise DamagedDataError(
        f"{folder / CURRENT} of memory '{folder.name}' names a generation that is not there.",
        advice(folder),
    )


def commit(folder: Path, manifest: Manifest) -> None:
    """Make a generation the valid one, then remove what no kept generation needs."""
    if current_generation(folder) >= manifest.generation:  # a valid manifest is never rewritten
        raise DamagedDataError(
            f"Generation {manifest.generation} of memory '{folder.name}' is committed already.",
            "Open the memory again and repeat the change.",
        )
    if (folder / DATA).is_dir():
        sync_folder(folder / DATA)
    data = manifest.model_dump_json(indent=1).encode()
    replace_file(folder / manifest_name(manifest.generation), data)
    digest = hashlib.sha256(data).hexdigest()
    current = json.dumps({"generation": manifest.generation, "sha256": digest}).encode()
    origin = origin_of(folder)
    if origin is not None:
        origin.push(folder, manifest, data, current)
    replace_file(folder / CURRENT, current)
    with suppress(OSError):  # it is committed; the next commit removes what stays
        collect(folder, manifest.generation)


def exists(folder: Path) -> bool:
    """Whether there is a memory, however damaged.

    Raises:
        ServerError: It is kept elsewhere, where nobody answers.
    """
    refresh(folder)
    return (folder / CURRENT).exists()


def refresh(folder: Path, fresh_s: float = 0.0) -> None:
    """Bring a mirror up to date; of a memory that is kept here, nothing has to be done.

    Args:
        folder: The memory's.
        fresh_s: Seconds for which what was seen last still counts.

    Raises:
        ServerError: It is kept elsewhere, where nobody answers.
    """
    if origin := origin_of(folder):
        origin.pull(folder, fresh_s)


def current_generation(folder: Path) -> int:
    """Number of the valid generation; 0 where there is none.

    Raises:
        DamagedDataError: CURRENT is damaged.
    """
    return _read_current(folder)[0] if (folder / CURRENT).exists() else 0


def stamp(folder: Path) -> bytes:
    """What changes with each generation, also of a memory made anew; empty where there is none."""
    try:
        refresh(folder, FRESH_S)
        return read_regular(folder / CURRENT, _LARGEST_CURRENT)
    except (OSError, RarError):  # opening says what is wrong
        return b""


def verify_files(folder: Path) -> list[str]:
    """Hash every file of the valid generation; returns what is wrong, one sentence each.

    Raises:
        NotFoundError: There is no memory in the folder.
        DamagedDataError: CURRENT or the manifest is damaged.
    """
    refresh(folder)
    while True:
        manifest = _read_manifest(folder)
        wrong = _wrong_files(folder, manifest[1])
        if origin := origin_of(folder):
            wrong += origin.verify(folder, read_manifest(folder))
        if not wrong or _read_manifest(folder) == manifest:
            return wrong
        # A writer committed meanwhile and removed what only the old generation needed.


def _wrong_files(folder: Path, manifest: bytes) -> list[str]:
    wrong = []
    away = AWAY if origin_of(folder) else frozenset()
    for name in sorted(set(_FILE.findall(manifest))):
        path = folder / DATA / name.decode()
        if path.suffix[1:] in away:
            continue
        try:
            with open_regular(path) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            wrong.append(f"{path} is missing.")
        except OSError as error:
            wrong.append(f"{path} {reason(error)}.")
        else:
            if digest != path.name.partition(".")[0]:
                wrong.append(f"{path} has changed: its sha256 is not its name.")
    return wrong


def _read_current(folder: Path) -> tuple[int, str]:
    try:
        current = from_json(read_regular(folder / CURRENT, _LARGEST_CURRENT))
        number, digest = current["generation"], current["sha256"]
        if type(number) is not int or not 0 < number <= MOST or not isinstance(digest, str):
            raise ValueError("it does not say a generation and a sha256")
        return number, digest
    except FileNotFoundError as error:
        raise NotFoundError(
            f"There is no memory '{folder.name}' in {whereabouts(folder)}.",
            "See rar-agent memory list, or create it: rar-agent memory create "
            f"{called(folder)} --images FOLDER",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, CURRENT, error) from error


def manifest_name(number: int) -> str:
    """Where the manifest of a generation is, from the memory's folder."""
    return f"{_GENERATIONS}/{number:06d}.json"


def present(folder: Path) -> frozenset[str]:
    """Names of the files of a memory's generations; what `give_back` leaves alone."""
    there = (folder / part for part in (DATA, _GENERATIONS))
    return frozenset(path.name for part in there for path in part.glob("*"))


def give_back(folder: Path, before: Collection[str]) -> None:
    """Remove what a writer that failed has written and no generation needs.

    Args:
        folder: The memory's, whose lock the caller holds.
        before: What was there when the writer began.
    """
    with suppress(OSError, DamagedDataError):
        collect(folder, current_generation(folder), before)


def collect(folder: Path, newest: int, kept: Collection[str] = ()) -> None:
    """Remove what no kept generation needs; the caller holds the memory's lock.

    Args:
        folder: The memory's.
        newest: The valid generation.
        kept: Names of files to leave alone.
    """
    needed = set(kept)
    for path in sorted((folder / _GENERATIONS).glob("*.json")):
        if not path.stem.isdecimal():  # somebody's copy
            continue
        gone = int(path.stem) <= newest - _KEPT or int(path.stem) > newest
        if gone and path.name not in kept:
            path.unlink(missing_ok=True)
        else:
            needed |= {name.decode() for name in _FILE.findall(path.read_bytes())}
    away = AWAY if origin_of(folder) else frozenset()  # the origin has them
    for path in (folder / DATA).glob("*"):  # an empty memory has no such folder
        # drafts of a crashed writer too
        if path.name not in needed or (path.suffix[1:] in away and path.name not in kept):
            path.unlink(missing_ok=True)
