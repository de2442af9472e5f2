"""Entries as rows: inserted, read by id, searched; nothing that comes back is trusted unchecked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.errors import DamagedDataError, ServerError
from rar_agent.memory.damage import OFF_LENGTH, unit_rows
from rar_agent.memory.format.manifest import MODALITIES, MOST
from rar_agent.scale.milvus.index import Index, describe, plan_index, search_parameters
from rar_agent.scale.milvus.server import BUILD_S, MOST_FOUND, SETTLED_S, MissingError, Server
from rar_agent.types import Modality

_BATCH_BYTES = 8 << 20  # of one call; Milvus takes 64 MB by default
_MOST_ROWS = 1_000  # of one call
_MOST_HITS = 100_000  # of one search, over all its queries
_MOST_NAMED = 10_000  # ids in one expression
_MOST_GAPS = 500  # ranges of ids likewise
_FIELDS = ("id", "category", "modality", "content", "vector")


class Rows:
    """The collection of a memory's vectors.

    Args:
        server: That has it.
        name: The memory's.

    Attributes:
        collection: Its name.
    """

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self.collection = f"{name}_entries"
        self._index: Index | None = None
        self._changed_at = time.monotonic()

    def changed(self) -> None:
        """Take note that another generation is read from here on."""
        self._index, self._changed_at = None, time.monotonic()

    def make(self, dimension: int, index: Index) -> None:
        """Make the collection and its indexes, if it is not there."""
        from pymilvus import DataType

        server, name = self._server, self.collection
        if server.ask("has_collection", collection_name=name):
            return
        schema = server.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("category", DataType.INT64)
        schema.add_field("modality", DataType.INT8)
        schema.add_field("content", DataType.VARCHAR, max_length=64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        server.ask(
            "create_collection", collection_name=name, schema=schema, consistency_level="Strong"
        )
        self._build(index)

    def mend(self) -> None:
        """Index a collection that has none, as a crash has left it: Milvus reads nothing of it.

        Raises:
            MissingError: There is no collection.
        """
        server, name = self._server, self.collection
        if not describe(server, name).kind:
            found = server.ask("get_collection_stats", collection_name=name)
            self._build(plan_index(int(found["row_count"])))

    def _build(self, index: Index) -> None:
        """Numbers first: who finds the vectors' index finds all."""
        server, name, self._index = self._server, self.collection, None
        for number in ("category", "modality"):
            self._index_numbers(number)
        self._create_index(self._index_of(index))
        server.ask("load_collection", limit_s=BUILD_S, collection_name=name)

    def _create_index(self, wanted: Any) -> None:  # noqa: ANN401 - pymilvus has no types
        name = self.collection
        self._server.ask("create_index", BUILD_S, collection_name=name, index_params=wanted)

    def _index_numbers(self, field: str) -> None:
        for kind in ("INVERTED", "STL_SORT"):  # Milvus before 2.4 has the other one
            wanted = self._server.client.prepare_index_params()
            wanted.add_index(field, index_type=kind)
            try:
                self._create_index(wanted)
            except ServerError:
                if kind == "STL_SORT":
                    raise
            else:
                return

    def _index_of(self, index: Index) -> Any:  # noqa: ANN401 - pymilvus has no types
        wanted = self._server.client.prepare_index_params()
        wanted.add_index(
            "vector",
            index_type=index.kind,
            index_name="vector",
            metric_type="IP",
            params=dict(index.parameters),
        )
        return wanted

    def reindex(self, index: Index) -> None:
        """Build another index in the place of that which is there; searches wait for it."""
        server, name = self._server, self.collection
        there = describe(server, name)
        if there == index:
            return
        server.ask("release_collection", collection_name=name)
        try:
            server.ask("drop_index", collection_name=name, index_name="vector")
            try:
                self._create_index(self._index_of(index))
            except ServerError:
                self._create_index(self._index_of(there))
                raise
        finally:
            server.ask("load_collection", limit_s=BUILD_S, collection_name=name)
        self._index = None

    def batch_size(self, dimension: int) -> int:
        """Entries that one call takes or gives."""
        return max(1, min(_MOST_ROWS, _BATCH_BYTES // (4 * dimension + 256)))

    def insert(self, entries: NDArray[np.void], vectors: FloatArray) -> None:
        """Insert a batch: (n,) of `ENTRY` and (n, d), of ids that are not there."""
        data = [
            {
                "id": int(entry["id"]),
                "category": int(entry["category"]),
                "modality": int(entry["modality"]),
                "content": bytes(entry["content"]).hex(),
                "vector": vector,
            }
            for entry, vector in zip(entries, vectors, strict=True)
        ]
        self._server.ask("insert", collection_name=self.collection, data=data)

    def flush(self) -> None:
        """Have what was inserted indexed now; Milvus does so by itself, when there is enough.

        After much was inserted: until then search compares it one by one.
        """
        with suppress(ServerError):  # it limits how often
            self._server.ask("flush", limit_s=BUILD_S, collection_name=self.collection)

    def count_from(self, first: int) -> int:
        """How many have this id or a larger one; none where there is no collection."""
        try:
            return self._server.count(self.collection, f"id >= {first}")
        except MissingError:
            return 0

    def count_below(self, end: int) -> int:
        """How many have a smaller id; none where there is no collection."""
        try:
            return self._server.count(self.collection, f"id < {end}")
        except MissingError:
            return 0

    def drop_from(self, first: int) -> None:
        """Remove those of this id and larger ones, which nobody has committed."""
        where = f"id >= {first}"
        self._server.ask("delete", collection_name=self.collection, filter=where)

    def discard(self) -> None:
        """Remove all of them, and the collection."""
        with suppress(MissingError):
            self._server.ask("drop_collection", collection_name=self.collection)

    def drop(self, ids: NDArray[np.int64]) -> None:
        """Remove entries by id."""
        for start in range(0, len(ids), _MOST_NAMED):
            where = f"id in {ids[start : start + _MOST_NAMED].tolist()}"
            self._server.ask("delete", collection_name=self.collection, filter=where)

    def drop_others(self, kept: NDArray[np.int64]) -> None:
        """Remove entries up to the last of some ids, (n,) ascending, that are none of these."""
        first = np.concatenate(([-MOST], kept[:-1] + 1))
        gaps = np.flatnonzero(first < kept)
        for start in range(0, len(gaps), _MOST_GAPS):
            part = gaps[start : start + _MOST_GAPS]
            where = " or ".join(f"(id >= {first[i]} and id < {kept[i]})" for i in part)
            self._server.ask("delete", collection_name=self.collection, filter=where)

    def known(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) which of some ids are there; up to `MOST_FOUND`."""
        rows = self._server.query(self.collection, f"id in {ids.tolist()}", ("id",))
        found: NDArray[np.bool_] = np.isin(ids, [int(row["id"]) for row in rows])
        return found

    def read(self, entries: NDArray[np.void], dimension: int) -> FloatArray:
        """(n, d) vectors of entries, (n,) of `ENTRY`.

        Raises:
            DamagedDataError: One is missing, or is not what was written.
        """
        vectors = np.empty((len(entries), dimension), np.float32)
        size = self.batch_size(dimension)
        for start in range(0, len(entries), size):
            part = slice(start, start + size)
            self._read(entries[part], vectors[part])
        return vectors

    def _read(self, entries: NDArray[np.void], into: FloatArray) -> None:
        ids = np.unique(entries["id"])
        where, found = f"id in {ids.tolist()}", dict[int, dict[str, Any]]()
        settled = time.monotonic() - self._changed_at > SETTLED_S
        for bounded in (True, False) if settled else (False,):
            try:
                rows = self._server.query(self.collection, where, _FIELDS, bounded)
            except MissingError:
                raise self._damaged(int(ids[0]), "is missing, as is the collection") from None
            found = {int(row["id"]): row for row in rows}
            if len(found) >= len(ids):
                break
        for i, entry in enumerate(entries):
            into[i] = self._checked(entry, found.get(int(entry["id"])), into.shape[1])
        wrong = np.flatnonzero(~unit_rows(into))
        if len(wrong):
            length = float(np.linalg.norm(into[wrong[0]]))
            number = int(entries["id"][wrong[0]])
            raise self._damaged(number, f"has a vector of the length {length:g}, not 1")

    def _checked(self, entry: np.void, row: dict[str, Any] | None, dimension: int) -> list[float]:
        number = int(entry["id"])
        if row is None:
            raise self._damaged(number, "is missing")
        wanted = {
            "category": int(entry["category"]),
            "modality": int(entry["modality"]),
            "content": bytes(entry["content"]).hex(),
        }
        for name, value in wanted.items():
            if row.get(name) != value:
                raise self._damaged(number, f"has the {name} {row.get(name)!r:.80}, not {value}")
        vector = row.get("vector")
        if not isinstance(vector, list) or len(vector) != dimension:
            size = len(vector) if isinstance(vector, list) else "no"
            raise self._damaged(number, f"has {size} numbers, not {dimension}")
        return vector

    def nearest(
        self, queries: FloatArray, count: int, where: str
    ) -> Iterator[tuple[FloatArray, NDArray[np.int64]]]:
        """For each query the cosines and ids of up to `count` entries, nearest first.

        Args:
            queries: (q, d) unit rows.
            count: Entries wanted, up to `MOST_FOUND`.
            where: Expression that they have to meet.
        """
        if self._index is None:
            self._index = describe(self._server, self.collection)
        count = min(count, MOST_FOUND)
        settled = time.monotonic() - self._changed_at > SETTLED_S
        step = max(1, _MOST_HITS // count)
        for start in range(0, len(queries), step):
            found = self._server.ask(
                "search",
                collection_name=self.collection,
                data=list(queries[start : start + step]),
                anns_field="vector",
                filter=where,
                limit=count,
                search_params={
                    "metric_type": "IP",
                    "params": search_parameters(self._index, count),
                },
                consistency_level="Bounded" if settled else "Strong",
            )
            if len(found) != len(queries[start : start + step]):
                raise self._damaged(-1, "was asked for, and not every query was answered")
            for hits in found:
                ids = np.array([hit["id"] for hit in hits], np.int64)
                cosines = np.array([hit["distance"] for hit in hits], np.float32)
                if not (np.abs(cosines) <= 1 + OFF_LENGTH).all():  # also where one is no number
                    place = int(np.flatnonzero(~(np.abs(cosines) <= 1 + OFF_LENGTH))[0])
                    why = f"has the cosine {cosines[place]:g} with a query"
                    raise self._damaged(int(ids[place]), why)
                _, first = np.unique(ids, return_index=True)  # a row inserted twice
                order = np.sort(first)
                yield cosines[order], ids[order]

    def expression(
        self,
        modality: Modality,
        last: int,
        categories: tuple[NDArray[np.int64], bool] | None,
        removed: NDArray[np.int64],
    ) -> str:
        """What entries have to meet that a search may find.

        Args:
            modality: Of the entries.
            last: The largest id that is committed.
            categories: Ids, and whether only these pass or all others; None: all.
            removed: Ids that do not pass, where there are not too many to be named.
        """
        parts = [f"modality == {MODALITIES.index(modality)}", f"id <= {last}"]
        if categories is not None:
            named, inside = categories
            if inside or len(named):
                parts.append(f"category {'in' if inside else 'not in'} {named.tolist()}")
        if 0 < len(removed) <= _MOST_NAMED:
            parts.append(f"id not in {removed.tolist()}")
        return " and ".join(parts)

    def more_for(self, removed: NDArray[np.int64]) -> int:
        """Entries to ask for beside those wanted, as removed ones will be among them."""
        return len(removed) if len(removed) > _MOST_NAMED else 0

    def _damaged(self, number: int, why: str) -> DamagedDataError:
        return DamagedDataError(
            f"Entry {number} of collection {self.collection} at {self._server.address.server} "
            f"{why}.",
            "Restore the collection from a backup, or bring the memory there again: "
            "rar-agent memory migrate",
        )


class Vectors:
    """(n, d) vectors of entries that the collection has, read when they are asked for.

    Args:
        rows: The collection.
        entries: (n,) of `ENTRY`.
        dimension: d.
    """

    def __init__(self, rows: Rows, entries: NDArray[np.void], dimension: int) -> None:
        self._rows, self._entries = rows, entries
        self.shape: tuple[int, ...] = (len(entries), dimension)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | int | NDArray[np.integer], /) -> FloatArray:
        if isinstance(rows, int | np.integer):
            one: FloatArray = self[np.array([rows])][0]
            return one
        return self._rows.read(self._entries[rows], self.shape[1])
