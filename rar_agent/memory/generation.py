"""Generations on disk: immutable files, a manifest, and the atomic switch between manifests.

A crash at any point leaves the old or the new generation: files are complete and fsynced before
a manifest names them, and the manifest before CURRENT names it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from pydantic import ValidationError

from rar_agent.errors import ConfigurationError, DamagedDataError, NotFoundError
from rar_agent.memory.location import CURRENT
from rar_agent.memory.manifest import FORMAT_VERSION, FileRef, Manifest

_KEPT = 2  # generations that stay on disk: readers may still be opening the last one


def read_manifest(folder: Path) -> Manifest:
    """The valid generation of a memory.

    Raises:
        NotFoundError: There is no memory in the folder.
        DamagedDataError: CURRENT or the manifest is damaged, or of another format version.
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
        return _parse(data, folder.name)
    raise DamagedDataError(
        f"Memory '{folder.name}' names a generation that is not there.",
        advice(folder),
    )


def advice(folder: Path) -> str:
    """What to do about damage."""
    return f"Restore {folder} from a copy, or begin anew: rar-agent memory delete {folder.name}"


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


def _parse(data: bytes, name: str) -> Manifest:
    try:
        version = json.loads(data).get("format_version")
        if version != FORMAT_VERSION:
            raise DamagedDataError(
                f"Memory '{name}' has format version {version}; this rar-agent reads "
                f"{FORMAT_VERSION}.",
                "Install the rar-agent that wrote it, or delete the memory and create it again.",
            )
        return Manifest.model_validate_json(data)
    except (ValidationError, ValueError) as error:
        raise DamagedDataError(f"The manifest of memory '{name}' is not valid: {error}.") from error


def write_file(folder: Path, data: bytes | memoryview, kind: str) -> FileRef:
    """Write an immutable file, durably; the same content twice is one file."""
    digest = hashlib.sha256(data).hexdigest()
    ref = FileRef(name=f"{digest}.{kind}", size=len(data))
    path = folder / "data" / ref.name
    if not (path.exists() and path.stat().st_size == ref.size):
        _write_durably(path, data)
    return ref


def commit(folder: Path, manifest: Manifest) -> None:
    """Make a generation the valid one, then remove what no kept generation needs."""
    data = manifest.model_dump_json(indent=1).encode()
    path = _manifest_path(folder, manifest.generation)
    _write_durably(path, data)
    digest = hashlib.sha256(data).hexdigest()
    current = json.dumps({"generation": manifest.generation, "sha256": digest})
    _write_durably(folder / CURRENT, current.encode())
    _collect(folder, manifest.generation)


def verify_files(folder: Path, manifest: Manifest) -> list[str]:
    """Hash every file of a generation; returns what is wrong, one sentence each."""
    wrong = []
    for ref in manifest.files():
        path = folder / "data" / ref.name
        if not path.is_file():
            wrong.append(f"{path} is missing.")
            continue
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != ref.sha256:
                wrong.append(f"{path} has changed: its sha256 is not its name.")
    return wrong


def _manifest_path(folder: Path, number: int) -> Path:
    return folder / "generations" / f"{number:06d}.json"


def _write_durably(path: Path, data: bytes | memoryview) -> None:
    try:
        _write_and_sync(path, data)
    except OSError as error:
        raise ConfigurationError(
            f"'{path}' cannot be written: {error.strerror}.",
            "Make room, or set RAR_HOME to a folder that can be written.",
        ) from error


def _write_and_sync(path: Path, data: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _collect(folder: Path, newest: int) -> None:
    needed: set[str] = set()
    for path in sorted((folder / "generations").glob("*.json")):
        if int(path.stem) <= newest - _KEPT or int(path.stem) > newest:
            path.unlink(missing_ok=True)
        else:
            needed |= {ref.name for ref in _parse(path.read_bytes(), folder.name).files()}
    for path in (folder / "data").iterdir():
        if path.name not in needed:  # drafts of a crashed writer too
            path.unlink(missing_ok=True)
