"""A memory's origin in Milvus: two collections, `NAME_entries` and `NAME_files`.

Files first, then entries, then one row that names the generation: a reader sees a whole generation
or the one before. Entries that were never committed have larger ids than those that were, are not
searched, and are removed by the next writer.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import from_json

from rar_agent.encoders import FloatArray
from rar_agent.errors import BusyError, DamagedDataError, InputError, ServerError
from rar_agent.forks import Lock, Once
from rar_agent.locks import locked
from rar_agent.memory.format.files import DATA, map_array, replace_file, writing
from rar_agent.memory.format.generation import collect, manifest_name
from rar_agent.memory.format.location import CURRENT
from rar_agent.memory.format.manifest import ENTRY, FileRef, Manifest, SegmentRef
from rar_agent.memory.format.opened import reason
from rar_agent.memory.format.origin import AWAY, Origin
from rar_agent.memory.format.segment import OpenSegment, open_segment
from rar_agent.scale.milvus.address import Address, parse_address
from rar_agent.scale.milvus.claim import Claim, claimed
from rar_agent.scale.milvus.current import mirrored_current, mirrored_manifest, parts, said
from rar_agent.scale.milvus.files import Files, Pictures
from rar_agent.scale.milvus.index import describe, plan_index
from rar_agent.scale.milvus.rows import Rows, Vectors
from rar_agent.scale.milvus.server import MOST_FOUND, MissingError, Server
from rar_agent.types import Modality

MOST_DIMENSIONS = 32_768
"""Of a vector in Milvus."""
_GENERATION = "current/"
_LARGEST_MANIFEST = 256 << 20  # bytes


class MilvusOrigin:
    """See `memory.format.origin.Origin`.

    Args:
        place: Where the memory is.

    Attributes:
        address: Of the memory, without secrets.
        server: Likewise, without the memory's name.
        files: What it has beside vectors.
        rows: Its vectors.
    """

    def __init__(self, place: Address) -> None:
        self.address, self.server, self.name = str(place), place.server, place.name
        asked = Server(place)
        self.files = Files(asked, place.name)
        self.rows = Rows(asked, place.name)
        self._asked = asked
        self._lock = Lock()
        self._claim: Claim | None = None
        self._is_new = False  # nothing was ever committed
        self._pushed: tuple[Path, Manifest] | None = None
        self._seen: dict[Path, float] = {}

    @property
    def index(self) -> str:
        """See `Origin`."""
        found = describe(self._asked, self.rows.collection)
        numbers = "".join(f", {name} {number:,}" for name, number in found.parameters.items())
        return f"in Milvus: {found.kind}{numbers}"

    def pull(self, folder: Path, fresh_s: float = 0.0) -> None:
        """See `Origin`."""
        with self._lock:
            now = time.monotonic()
            if fresh_s and now - self._seen.get(folder, -np.inf) < fresh_s:
                return
            if said(self.valid()) != mirrored_current(folder):
                self._follow(folder)
            self._seen[folder] = now

    def valid(self) -> tuple[bytes, int] | None:
        """What CURRENT says, and bytes of the manifest; None where there is no memory.

        Raises:
            DamagedDataError: The row does not say that.
        """
        rows = self.files.rows(_GENERATION)
        if not rows:
            return None
        newest = max(rows)
        try:
            row = from_json(rows[newest])
            current, size = str(row["current"]).encode(), int(row["size"])
            number, _ = parts(current)
            if newest != f"{_GENERATION}{number:020d}" or not 0 < size <= _LARGEST_MANIFEST:
                raise ValueError("it does not say which generation, and of what size")
        except (ValueError, KeyError, TypeError) as error:
            raise self.damaged(f"Row '{newest:.80}'", error) from error
        return current, size

    def _follow(self, folder: Path) -> None:
        """Bring a mirror to the valid generation, which is asked for under the mirror's lock.

        So that none writes an older one back; and what writers remove meanwhile is no damage.
        """
        with locked(folder / "pull.lock"):
            valid = self.valid()
            while said(valid) != mirrored_current(folder):
                if valid is None:
                    (folder / CURRENT).unlink(missing_ok=True)
                    break
                try:
                    self._mirror(folder, *valid)
                except DamagedDataError:
                    seen, valid = valid, self.valid()
                    if valid == seen:
                        raise
            self.rows.changed()

    def _mirror(self, folder: Path, current: bytes, size: int) -> None:
        number, digest = parts(current)
        ref = FileRef(name=f"{digest}.json", size=size)
        data = b"".join(self.files.read(ref))
        if hashlib.sha256(data).hexdigest() != digest:
            raise self.damaged(f"File '{ref.name}'", "it does not have the sha256 of its name")
        with suppress(ValidationError):  # opening says what is wrong
            manifest = Manifest.model_validate_json(data)
            if manifest.name != self.name:
                why = f"it is of the memory '{manifest.name}'"
                raise self.damaged(f"File '{ref.name}'", why)
            for wanted in manifest.files():
                self.fetch(folder, wanted)
        replace_file(folder / manifest_name(number), data)
        replace_file(folder / CURRENT, current)
        if self._claim is None:  # a writer's drafts are not to be taken for leftovers
            with suppress(TimeoutError, OSError), locked(folder / "writer.lock", 0.0):
                collect(folder, number)

    def fetch(self, folder: Path, ref: FileRef, pictures: bool = False) -> None:
        """Copy a file into a folder's data, unless it is there or is none that a mirror has.

        Raises:
            DamagedDataError: It is missing, or does not have the sha256 of its name.
        """
        kind = ref.name.partition(".")[2]
        wanted = kind not in AWAY or (pictures and kind == "jpegs")
        path = folder / DATA / ref.name
        if not wanted or (path.exists() and path.stat().st_size == ref.size):
            return
        with writing(folder, kind) as file:
            for part in self.files.read(ref):
                file.write(part)
        if file.ref.name != ref.name:
            (folder / DATA / file.ref.name).unlink(missing_ok=True)
            why = "it does not have the sha256 of its name"
            raise self.damaged(f"File '{ref.name}'", why)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See `Origin`."""
        self.files.make()
        try:
            with claimed(self.files, self.address) as claim:
                self._claim = claim
                try:
                    self._is_new = not self.files.rows(_GENERATION)
                    with suppress(MissingError, ServerError):  # what reads will say so; it may go
                        self.rows.mend()
                    yield
                finally:
                    self._drop_if_unused()
                    self._claim, self._is_new = None, False
        finally:
            self._seen.clear()

    def _drop_if_unused(self) -> None:
        """A memory that came to nothing leaves no collections.

        That there is no generation is asked twice: one wrong answer must not drop a memory.
        """
        if self._is_new:
            with suppress(Exception):  # what was raised inside says more
                if not self.files.rows(_GENERATION) and not self.files.rows(MIGRATION):
                    self.delete()

    def push(self, folder: Path, manifest: Manifest, data: bytes, current: bytes) -> None:
        """See `Origin`."""
        before = mirrored_current(folder)
        self._require_unchanged(before)
        known = mirrored_manifest(folder)
        self.make(manifest)
        first = known.next_entry if known else 0
        if self.rows.count_from(first):
            self.rows.drop_from(first)
        for ref in manifest.segments:
            if ref.last_id >= first:
                self._insert(open_segment(folder, ref, manifest.dimension), first)
        self.put(folder, manifest.files())
        self.commit(manifest, data, current, before)
        self._pushed = folder, manifest
        needed = {ref.name for one in (manifest, known) if one for ref in one.files()}
        self._collect(manifest.generation, needed)

    def make(self, manifest: Manifest) -> None:
        """Make the collection of vectors, with the index that suits as many as there are.

        Raises:
            InputError: Milvus takes no such vectors.
        """
        if manifest.dimension > MOST_DIMENSIONS:
            raise InputError(
                f"Vectors of {manifest.dimension} numbers are too long for Milvus, which takes "
                f"{MOST_DIMENSIONS}.",
                "Keep this memory on disk.",
            )
        count = sum(ref.count for ref in manifest.segments)
        self.rows.make(manifest.dimension, plan_index(count, manifest.dimension))

    def require_claim(self) -> None:
        """Check that nobody has taken over; a `BusyError` if somebody has."""
        assert self._claim is not None  # noqa: S101 - only a writer asks
        self._claim.require()

    def _require_unchanged(self, before: bytes) -> None:
        if said(self.valid()) != before:
            raise BusyError(
                f"Memory '{self.address}' was changed by another writer meanwhile.",
                "Nothing of this change was kept; run it again.",
            )

    def _insert(self, segment: OpenSegment, first: int) -> None:
        new = np.flatnonzero(segment.entries["id"] >= first)
        size = self.rows.batch_size(segment.vectors.shape[1])
        for start in range(0, len(new), size):
            self.require_claim()
            part = new[start : start + size]
            self.rows.insert(segment.entries[part], segment.vectors[part])

    def put(self, folder: Path, refs: list[FileRef]) -> None:
        """Write those of a folder's files that Milvus keeps as files, and does not have."""
        kept = [ref for ref in refs if ref.name.partition(".")[2] not in ("vectors", "faiss")]
        whole = self.files.whole(kept)
        for ref in kept:
            if ref.name not in whole:
                with (folder / DATA / ref.name).open("rb") as file:
                    self.files.put(ref, file)

    def commit(self, manifest: Manifest, data: bytes, current: bytes, before: bytes = b"") -> None:
        """Make a generation the valid one, all of which is there.

        Args:
            manifest: Of the generation.
            data: The same, as it is written.
            current: What CURRENT will say.
            before: What it has to say until then; empty: there is no memory.

        Raises:
            BusyError: Another writer took over.
        """
        ref = FileRef(name=f"{hashlib.sha256(data).hexdigest()}.json", size=len(data))
        self.files.put(ref, io.BytesIO(data))
        self.require_claim()
        self._require_unchanged(before)
        self._is_new = False  # also where no answer comes
        row = json.dumps({"current": current.decode(), "size": len(data)})
        self.files.put_rows([(f"{_GENERATION}{manifest.generation:020d}", row)])
        self.rows.changed()

    def _collect(self, newest: int, needed: set[str]) -> None:
        """Remove what neither the valid generation nor the one before needs."""
        with suppress(Exception):  # it is committed; the next commit removes what stays
            rows = self.files.rows(_GENERATION)
            old = f"{_GENERATION}{newest - 1:020d}"
            self.files.drop_rows(key for key in rows if key < old)
            for key, row in rows.items():
                if key >= old:
                    needed.add(f"{parts(from_json(row)['current'].encode())[1]}.json")
            for name in self.files.names() - needed:
                self.files.drop(name)

    def vectors(self, entries: NDArray[np.void], dimension: int) -> Vectors:
        """See `Origin`."""
        return Vectors(self.rows, entries, dimension)

    def pictures(self, ref: FileRef) -> Pictures:
        """See `Origin`."""
        return Pictures(self.files, ref)

    def nearest(
        self,
        modality: Modality,
        queries: FloatArray,
        count: int,
        last: int,
        categories: tuple[NDArray[np.int64], bool] | None,
        removed: NDArray[np.int64],
    ) -> list[tuple[FloatArray, NDArray[np.int64]]]:
        """See `Origin`."""
        where = self.rows.expression(modality, last, categories, removed)
        wanted = min(MOST_FOUND, count + self.rows.more_for(removed))
        return list(self.rows.nearest(queries, wanted, where))

    def tidy(self, gone: NDArray[np.int64], count: int, dimension: int) -> None:
        """See `Origin`; also drops what a crash after an earlier commit has left."""
        self.rows.drop(gone)
        self._drop_orphans()
        self.rows.flush()
        self.rows.reindex(plan_index(count, dimension))

    def _drop_orphans(self) -> None:
        """Drop entries that are not on record."""
        assert self._pushed is not None  # noqa: S101 - compaction has just committed
        folder, manifest = self._pushed
        if self.rows.count_below(manifest.next_entry) == sum(
            ref.count for ref in manifest.segments
        ):
            return
        ids = [
            map_array(folder, ref.entries, ENTRY, ref.count)["id"].astype(np.int64)
            for ref in manifest.segments
        ]
        self.rows.drop_others(np.sort(np.concatenate([*ids, [manifest.next_entry]])))

    def verify(self, folder: Path, manifest: Manifest) -> list[str]:
        """See `Origin`."""
        wrong: list[str] = []
        for ref in manifest.segments:
            try:
                wrong += self._verify(folder, ref, manifest.dimension)
            except DamagedDataError as error:
                wrong.append(error.message)
        held = sum(ref.count for ref in manifest.segments)
        there = self.rows.count_below(manifest.next_entry)
        if there != held:
            wrong.append(
                f"Collection {self.rows.collection} at {self.server} has {there} entries, not "
                f"{held}."
            )
        return wrong

    def _verify(self, folder: Path, ref: SegmentRef, dimension: int) -> Iterator[str]:
        entries = map_array(folder, ref.entries, ENTRY, ref.count)
        found, size = hashlib.sha256(), self.rows.batch_size(dimension)
        for start in range(0, len(entries), size):
            part = self.rows.read(entries[start : start + size], dimension)
            found.update(part.astype("<f4").tobytes())
        if found.hexdigest() != ref.vectors.sha256:
            yield (
                f"Entries {ref.first_id} to {ref.last_id} of collection {self.rows.collection} at "
                f"{self.server} have other vectors than were written."
            )
        if ref.thumbnails:
            digest = hashlib.sha256()
            for data in self.files.read(ref.thumbnails.images):
                digest.update(data)
            if digest.hexdigest() != ref.thumbnails.images.sha256:
                yield f"File '{ref.thumbnails.images.name}' at {self.address} has changed."

    def delete(self) -> None:
        """See `Origin`; only the one writer may."""
        self.require_claim()
        self.rows.discard()
        self._asked.ask("drop_collection", collection_name=self.files.collection)

    def damaged(self, what: str, why: object) -> DamagedDataError:
        """The error of what the server gives that was not written so."""
        return DamagedDataError(
            f"{what} of collection {self.files.collection} at {self.server} is damaged: "
            f"{reason(why)}.",
            "Restore the collection from a backup, or bring the memory there again: rar-agent "
            "memory migrate",
        )


MIGRATION = "migration/"
"""Key of the row that says what is being brought there."""

_kept: type[Origin] = MilvusOrigin
_once: Once[MilvusOrigin] = Once(MilvusOrigin)


def origin(address: str) -> MilvusOrigin:
    """The origin of an address; the same one each time, with its connection.

    Raises:
        InputError: It is no address.
    """
    return _once(parse_address(address))
