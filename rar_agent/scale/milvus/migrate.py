"""Bringing a memory to Milvus and back: in batches, going on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from rar_agent.addresses import without_user
from rar_agent.errors import DamagedDataError, InputError
from rar_agent.memory import Memory, memory_folder, open_memory
from rar_agent.memory.format.files import DATA
from rar_agent.memory.format.generation import commit, exists, read_manifest
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.format.manifest import FileRef, Manifest
from rar_agent.memory.format.origin import AWAY, called, is_address, origin_of
from rar_agent.memory.format.segment import OpenSegment
from rar_agent.scale.milvus.index import plan_index
from rar_agent.scale.milvus.origin import MIGRATION, MilvusOrigin

Progress = Callable[[int, int | None], None]
"""Told how many entries are there, and of how many."""

_PARTS = "migration"  # folder of what came so far, in that of a memory that is not there yet


def migrate(
    home: Path, name: str, to: str, progress: Progress | None = None, index: str = ""
) -> tuple[Memory, Memory]:
    """Copy a memory to Milvus, or from there; nothing is encoded, and the source stays.

    Interrupted, it goes on where it was when it is run again; nothing is copied twice.

    Args:
        home: Where memories live.
        name: A memory's name, or its address.
        to: An address, or a name; one of the two is the one, one the other.
        progress: Told after each batch.
        index: Which Milvus gets, one of `index.KINDS`; empty: as so many vectors want.

    Returns:
        The source and the copy, opened.

    Raises:
        NotFoundError: There is no such memory.
        InputError: The other one is there already, or no address or two are given.
        BusyError: Somebody is writing there.
        ServerError: Milvus cannot be asked.
        DamagedDataError: What came is not what was written.
    """
    if is_address(name) == is_address(to):
        raise InputError(
            f"'{without_user(to)}' and the other are both "
            f"{'addresses' if is_address(to) else 'on this machine'}.",
            "Migrate from a name to an address, or back: rar-agent memory migrate NAME --to "
            "milvus://host:19530/name",
        )
    source = open_memory(home, name)
    folder = memory_folder(home, to)
    segments = [ref.model_copy(update={"index": None}) for ref in source.manifest.segments]
    manifest = source.manifest.model_copy(update={"name": folder.name, "segments": tuple(segments)})
    tell = progress or (lambda *_: None)
    with writer_lock(folder):
        if not _is_there(folder, manifest):
            origin = origin_of(folder)
            if isinstance(origin, MilvusOrigin):
                _send(source, origin, manifest, tell, index)
            else:
                _fetch(source, folder, manifest, tell)
    return source, open_memory(home, to)


def _is_there(folder: Path, manifest: Manifest) -> bool:
    """Whether a copy is there already; another memory of that name is an error."""
    if not exists(folder):
        return False
    if read_manifest(folder) != manifest:
        raise InputError(
            f"Memory '{called(folder)}' exists already, and is another one.",
            f"Choose another name, or delete it first: rar-agent memory delete {called(folder)}",
        )
    return True


def _send(
    source: Memory,
    origin: MilvusOrigin,
    manifest: Manifest,
    tell: Progress,
    index: str,
) -> None:
    data = manifest.model_dump_json(indent=1).encode()
    digest = hashlib.sha256(data).hexdigest()
    mark = f"{MIGRATION}{digest}"
    rows, begun = origin.rows, origin.files.rows(MIGRATION)
    if begun.keys() != {mark}:  # what else was begun there, or what a crash left
        origin.files.drop_rows(begun)
        rows.discard()
    total = sum(ref.count for ref in manifest.segments)
    rows.make(manifest.dimension, plan_index(total, manifest.dimension, index))
    origin.files.put_rows([(mark, "")])
    done, resumed = 0, rows.count_from(0) > 0
    tell(done, total)
    size = rows.batch_size(manifest.dimension)
    for segment in source.entries.segments:
        for start in range(0, segment.ref.count, size):
            part = np.arange(start, min(start + size, segment.ref.count))
            done += len(part)
            if resumed:
                part = part[~rows.known(segment.entries["id"][part])]
            if len(part):
                origin.require_claim()
                rows.insert(segment.entries[part], segment.vectors[part])
            tell(done, total)
    rows.flush()
    origin.put(source.folder, manifest.files())
    current = json.dumps({"generation": manifest.generation, "sha256": digest}).encode()
    origin.commit(manifest, data, current)
    origin.files.drop_rows([mark])


def _fetch(source: Memory, folder: Path, manifest: Manifest, tell: Progress) -> None:
    """Copy what the mirror has, ask for the rest, and commit when all is there and hashed."""
    origin, parts = origin_of(source.folder), folder / _PARTS
    assert isinstance(origin, MilvusOrigin)  # noqa: S101 - the other side is here
    parts.mkdir(parents=True, exist_ok=True)
    total, done = sum(ref.count for ref in manifest.segments), 0
    tell(done, total)
    for ref in manifest.files():
        kind = ref.name.partition(".")[2]
        if kind not in AWAY and not _is_whole(parts, ref):
            shutil.copyfile(source.folder / DATA / ref.name, parts / ref.name)
        if kind == "jpegs":
            with _appending(parts, ref, 1) as file:
                for data in origin.files.read(ref, file.tell()) if file.tell() < ref.size else ():
                    file.write(data)
            _require_whole(parts, ref, origin)
    for segment in source.entries.segments:
        _fetch_vectors(segment, parts, partial(_tell_more, tell, done, total))
        _require_whole(parts, segment.ref.vectors, origin)
        done += segment.ref.count
    (folder / DATA).mkdir(exist_ok=True)
    for ref in manifest.files():
        with suppress(FileNotFoundError):  # two refs of one file
            (parts / ref.name).replace(folder / DATA / ref.name)
    commit(folder, manifest)
    shutil.rmtree(parts, ignore_errors=True)


def _tell_more(tell: Progress, before: int, total: int, rows: int) -> None:
    tell(before + rows, total)


def _fetch_vectors(segment: OpenSegment, parts: Path, tell: Callable[[int], None]) -> None:
    row_size = 4 * segment.vectors.shape[1]
    with _appending(parts, segment.ref.vectors, row_size) as file:
        for start in range(file.tell() // row_size, segment.ref.count, _ROWS):
            vectors = segment.vectors[start : start + _ROWS]
            file.write(vectors.astype("<f4").tobytes())
            file.flush()
            tell(start + len(vectors))


_ROWS = 1_000  # of vectors asked for before they are on disk


def _appending(parts: Path, ref: FileRef, unit: int) -> IO[bytes]:
    """A file to go on with after its last whole unit of so many bytes."""
    file = (parts / ref.name).open("ab")
    file.truncate(min(file.tell(), ref.size) // unit * unit)
    file.seek(0, 2)
    return file


def _is_whole(parts: Path, ref: FileRef) -> bool:
    path = parts / ref.name
    return path.exists() and path.stat().st_size == ref.size


def _require_whole(parts: Path, ref: FileRef, origin: MilvusOrigin) -> None:
    with (parts / ref.name).open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() == ref.sha256:
            return
    (parts / ref.name).unlink()
    raise DamagedDataError(
        f"What {origin.address} gave for the file {ref.name} is not what was written there.",
        f"Run rar-agent memory verify {origin.address}, or migrate again.",
    )
