"""Generations: a manifest that names files, and the atomic switch between manifests.

A crash at any point leaves the old or the new generation: files are complete and synced before a
manifest names them, and the manifest before CURRENT names it.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from pydantic import ValidationError

from rar_agent.errors import ConfigurationError, DamagedDataError, NotFoundError
from rar_agent.memory.format.files import DATA, replace_file, sync_folder
from rar_agent.memory.format.location import CURRENT, advice
from rar_agent.memory.format.manifest import FORMAT_VERSION, Manifest

_KEPT = 2  # generations that stay on disk: readers may still be opening the last one
_FILE = re.compile(rb"[0-9a-f]{64}\.[a-z0-9]+")


def read_manifest(folder: Path) -> Manifest:
    """The valid generation of a memory.

    Raises:
        NotFoundError: There is no memory in the folder.
        ConfigurationError: It has an older format; the message says how to bring it up to date.
        DamagedDataError: CURRENT or the manifest is damaged, or of a format unknown here.
    """
    data = read_manifest_bytes(folder)
    try:
        version = json.loads(data).get("format_version")
        if version == FORMAT_VERSION:
            return Manifest.model_validate_json(data)
    except (ValidationError, ValueError, AttributeError) as error:
        raise DamagedDataError(
            f"The manifest of memory '{folder.name}' is not valid: {error}.", advice(folder)
        ) from error
    if version == 1:
        raise ConfigurationError(
            f"Memory '{folder.name}' has format version 1; this rar-agent writes {FORMAT_VERSION}.",
            f"Bring it up to date, nothing is encoded again: rar-agent memory compact "
            f"{folder.name}",
        )
    raise DamagedDataError(
        f"Memory '{folder.name}' has format version {version}; this rar-agent reads 1 and "
        f"{FORMAT_VERSION}.",
        "Install the rar-agent that wrote it, or delete the memory and create it again.",
    )


def read_manifest_bytes(folder: Path) -> bytes:
    """The valid manifest as it was written, of any format version.

    Raises:
        NotFoundError: There is no memory in the folder.
        DamagedDataError: CURRENT is damaged, or the manifest is not the one that it names.
    """
    for _ in range(5):  # a writer may remove an old generation between the two reads
        number, digest = _read_current(folder)
        try:
            data = _manifest_path(folder, number).read_bytes()
        except FileNotFoundError:
            continue
        if hashlib.sha256(data).hexdigest() != digest:
            raise DamagedDataError(
                f"Manifest {number} of memory '{folder.name}' does not have the sha256 that "
                "CURRENT names.",
                advice(folder),
            )
        return data
    raise DamagedDataError(
        f"Memory '{folder.name}' names a generation that is not there.", advice(folder)
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
    replace_file(_manifest_path(folder, manifest.generation), data)
    digest = hashlib.sha256(data).hexdigest()
    current = json.dumps({"generation": manifest.generation, "sha256": digest})
    replace_file(folder / CURRENT, current.encode())
    _collect(folder, manifest.generation)


def current_generation(folder: Path) -> int:
    """Number of the valid generation; 0 where there is none.

    Raises:
        DamagedDataError: CURRENT is damaged.
    """
    return _read_current(folder)[0] if (folder / CURRENT).exists() else 0


def stamp(folder: Path) -> bytes:
    """What changes with each generation, also of a memory made anew; empty where there is none."""
    try:
        return (folder / CURRENT).read_bytes()
    except OSError:
        return b""


def verify_files(folder: Path) -> list[str]:
    """Hash every file of the valid generation; returns what is wrong, one sentence each.

    Raises:
        NotFoundError: There is no memory in the folder.
        DamagedDataError: CURRENT or the manifest is damaged.
    """
    while True:
        manifest = read_manifest_bytes(folder)
        wrong = _wrong_files(folder, manifest)
        if not wrong or read_manifest_bytes(folder) == manifest:
            return wrong
        # A writer committed meanwhile and removed what only the old generation needed.


def _wrong_files(folder: Path, manifest: bytes) -> list[str]:
    wrong = []
    for name in sorted(set(_FILE.findall(manifest))):
        path = folder / DATA / name.decode()
        try:
            file = path.open("rb")
        except FileNotFoundError:
            wrong.append(f"{path} is missing.")
            continue
        with file:
            if hashlib.file_digest(file, "sha256").hexdigest() != path.name.partition(".")[0]:
                wrong.append(f"{path} has changed: its sha256 is not its name.")
    return wrong


def _read_current(folder: Path) -> tuple[int, str]:
    try:
        current = json.loads((folder / CURRENT).read_bytes())
        return int(current["generation"]), str(current["sha256"])
    except FileNotFoundError as error:
        raise NotFoundError(
            f"There is no memory '{folder.name}' in {folder.parent}.",
            "See rar-agent memory list, or create it: rar-agent memory create "
            f"{folder.name} --images FOLDER",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedDataError(
            f"{folder / CURRENT} is damaged: {error}.", advice(folder)
        ) from error


def _manifest_path(folder: Path, number: int) -> Path:
    return folder / "generations" / f"{number:06d}.json"


def _collect(folder: Path, newest: int) -> None:
    needed: set[str] = set()
    for path in sorted((folder / "generations").glob("*.json")):
        if not path.stem.isdecimal():  # somebody's copy
            continue
        if int(path.stem) <= newest - _KEPT or int(path.stem) > newest:
            path.unlink(missing_ok=True)
        else:
            needed |= {name.decode() for name in _FILE.findall(path.read_bytes())}
    for path in (folder / DATA).glob("*"):  # an empty memory has no such folder
        if path.name not in needed:  # drafts of a crashed writer too
            path.unlink(missing_ok=True)
