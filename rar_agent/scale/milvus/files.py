"""Files as rows: chunks of base64, each under the file's name and its number.

Milvus keeps no bytes; its longest text has 65,535 bytes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import DamagedDataError
from rar_agent.memory.format.manifest import FileRef
from rar_agent.scale.milvus.server import MissingError, Server

CHUNK = 48_000
"""Bytes of a chunk; a third more in base64."""
_AT_ONCE = 64  # chunks put or read by one call: 4 MB
_KEY = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{1,16}/\d{8}")


def chunk_count(size: int) -> int:
    """Chunks of so many bytes; one where there are none, so that the file is there."""
    return max(1, -(-size // CHUNK))


def chunk_key(name: str, number: int) -> str:
    """Key of a chunk."""
    return f"{name}/{number:08d}"


def _number(key: str) -> int:
    return int(key.partition("/")[2]) if _KEY.fullmatch(key) else -1


def chunks(file: IO[bytes]) -> Iterator[str]:
    """Texts of a file's chunks, in order."""
    first = True
    while (part := file.read(CHUNK)) or first:
        first = False
        yield base64.b64encode(part).decode()


class Files:
    """Files and single rows of a memory's second collection.

    Args:
        server: That has it.
        name: The memory's.
    """

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self.collection = f"{name}_files"

    def make(self) -> None:
        """Make the collection, if it is not there."""
        from pymilvus import DataType

        server = self._server
        if server.ask("has_collection", collection_name=self.collection):
            return
        schema = server.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.VARCHAR, max_length=128, is_primary=True)
        schema.add_field("number", DataType.INT64)  # of the chunk; -1 of what is none
        schema.add_field("data", DataType.VARCHAR, max_length=65_535)
        schema.add_field("nothing", DataType.FLOAT_VECTOR, dim=2)  # Milvus wants a vector
        index = server.client.prepare_index_params()
        index.add_index("nothing", index_type="FLAT", metric_type="L2")
        server.ask(
            "create_collection",
            collection_name=self.collection,
            schema=schema,
            index_params=index,
            consistency_level="Strong",
        )

    def put(self, ref: FileRef, file: IO[bytes]) -> None:
        """Write a file's chunks; again if need be."""
        rows = []
        for number, text in enumerate(chunks(file)):
            rows.append((chunk_key(ref.name, number), text))
            if len(rows) == _AT_ONCE:
                self.put_rows(rows)
                rows = []
        self.put_rows(rows)

    def put_rows(self, rows: Iterable[tuple[str, str]]) -> None:
        """Write rows of a key and a text, in the place of those that there are."""
        data = [
            {"key": key, "number": _number(key), "data": text, "nothing": [0.0, 0.0]}
            for key, text in rows
        ]
        if data:
            self._server.ask("upsert", collection_name=self.collection, data=data)

    def rows(self, prefix: str) -> dict[str, str]:
        """Rows whose keys begin so; none where there is no collection."""
        try:
            found = self._server.query(self.collection, f'key like "{prefix}%"', ("key", "data"))
        except MissingError:
            return {}
        return {str(row["key"]): str(row["data"]) for row in found}

    def drop_rows(self, keys: Iterable[str]) -> None:
        """Remove rows by their keys."""
        if listed := ", ".join(f'"{key}"' for key in keys):
            where = f"key in [{listed}]"
            self._server.ask("delete", collection_name=self.collection, filter=where)

    def whole(self, refs: Iterable[FileRef]) -> set[str]:
        """Names of those files whose last chunk is there; they are written in order."""
        last = [chunk_key(ref.name, chunk_count(ref.size) - 1) for ref in refs]
        found: set[str] = set()
        for start in range(0, len(last), _AT_ONCE):
            listed = ", ".join(f'"{key}"' for key in last[start : start + _AT_ONCE])
            rows = self._server.query(self.collection, f"key in [{listed}]", ("key",))
            found |= {str(row["key"]).partition("/")[0] for row in rows}
        return found

    def names(self) -> set[str]:
        """Names of all files of which there is anything."""
        rows = self._server.query(self.collection, "number == 0", ("key",))
        keys = (str(row["key"]) for row in rows)
        return {key.partition("/")[0] for key in keys if _KEY.fullmatch(key)}

    def drop(self, name: str) -> None:
        """Remove a file's chunks."""
        where = f'key like "{name}/%"'
        self._server.ask("delete", collection_name=self.collection, filter=where)

    def read(self, ref: FileRef, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Bytes of a file from `start` to `end`, piece by piece.

        Raises:
            DamagedDataError: A chunk is missing, or not of the length that it should have.
        """
        end = ref.size if end is None else end
        first, last = start // CHUNK, max(start, end - 1) // CHUNK
        for begin in range(first, last + 1, _AT_ONCE):
            numbers = range(begin, min(begin + _AT_ONCE, last + 1))
            listed = ", ".join(f'"{chunk_key(ref.name, number)}"' for number in numbers)
            rows = self._server.query(self.collection, f"key in [{listed}]", ("key", "data"))
            found = {str(row["key"]): row["data"] for row in rows}
            for number in numbers:
                data = self._decoded(ref, number, found.get(chunk_key(ref.name, number)))
                offset = number * CHUNK
                yield data[max(0, start - offset) : max(0, end - offset)]

    def _decoded(self, ref: FileRef, number: int, text: object) -> bytes:
        wanted = min(CHUNK, ref.size - number * CHUNK)
        try:
            data = base64.b64decode(text, validate=True) if isinstance(text, str) else None
        except (ValueError, binascii.Error):
            data = None
        if data is None or len(data) != wanted:
            found = "is missing" if text is None else "is not what was written"
            raise DamagedDataError(
                f"Row '{chunk_key(ref.name, number)}' of collection {self.collection} at "
                f"{self._server.address.server} {found}.",
                "Restore the collection from a backup, or bring the memory there again: "
                "rar-agent memory migrate",
            )
        return data


class Pictures:
    """Bytes of a file of thumbnails, read when they are asked for."""

    def __init__(self, files: Files, ref: FileRef) -> None:
        self._files, self._ref = files, ref

    def __len__(self) -> int:
        return self._ref.size

    def __getitem__(self, part: slice, /) -> NDArray[np.uint8]:
        start, end, _ = part.indices(self._ref.size)
        data = b"".join(self._files.read(self._ref, start, end)) if end > start else b""
        return np.frombuffer(data, np.uint8)
