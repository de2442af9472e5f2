"""Categories on disk and opened: layers of JSON lines, parsed when they are asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from rar_agent.errors import DamagedDataError
from rar_agent.memory.format.files import map_array, write_file
from rar_agent.memory.format.manifest import CATEGORY, LayerRef
from rar_agent.types import Category


def name_hash(name: str) -> int:
    """First 8 bytes of a name's sha256, never 0; 0 for no name."""
    if not name:
        return 0
    digest = hashlib.sha256(name.encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "little") or 1


def write_layer(folder: Path, changed: Iterable[tuple[int, Category | None]]) -> LayerRef | None:
    """Write new and changed categories by id; None in place of a category removes it."""
    rows, lines, end = [], [], 0
    for number, category in changed:
        line = b""
        if category is not None:
            record = {"id": number, **category.model_dump(mode="json", exclude_defaults=True)}
            line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        name = name_hash(category.name) if category else 0
        parent = name_hash(category.parent) if category else 0
        rows.append((number, end, len(line), name, parent))
        lines.append(line)
        end += len(line)
    if not rows:
        return None
    return LayerRef(
        count=len(rows),
        rows=write_file(folder, np.array(rows, CATEGORY).tobytes(), "categories"),
        lines=write_file(folder, b"".join(lines), "jsonl"),
    )


class Categories(Sequence[Category]):
    """The live categories of a generation, in the order of their ids.

    Args:
        folder: The memory's folder.
        layers: Oldest first; the last one that names a category counts.

    Raises:
        DamagedDataError: A file is missing or has another size than the manifest says.
    """

    def __init__(self, folder: Path, layers: Sequence[LayerRef]) -> None:
        self._name = folder.name
        self._lines = [
            map_array(folder, ref.lines, np.dtype("u1"), ref.lines.size) for ref in layers
        ]
        tables = [map_array(folder, ref.rows, CATEGORY, ref.count) for ref in layers]
        rows = np.concatenate([np.empty(0, CATEGORY), *tables])
        layer = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        # Of equal ids the last one counts: unique finds first places, so look from the end.
        ids, last = np.unique(rows["id"][::-1], return_index=True)
        place = len(rows) - 1 - last
        live = rows["size"][place] > 0
        self._rows, self._layer = rows[place[live]], layer[place[live]]
        self.ids: NDArray[np.int64] = ids[live].astype(np.int64)
        self.removed_ids: NDArray[np.int64] = ids[~live].astype(np.int64)
        self._parsed: dict[int, Category] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, column: int) -> Category: ...

    @overload
    def __getitem__(self, column: slice) -> list[Category]: ...

    def __getitem__(self, column: int | slice) -> Category | list[Category]:
        if isinstance(column, slice):
            return [self[i] for i in range(*column.indices(len(self)))]
        if not -len(self) <= column < len(self):
            raise IndexError(column)
        column %= len(self)
        if column not in self._parsed:
            self._parsed[column] = self._parse(column)
        return self._parsed[column]

    def __iter__(self) -> Iterator[Category]:
        return (self[column] for column in range(len(self)))

    def find(self, name: str) -> int | None:
        """Position of the category of a name, or None."""
        hashes, order = self._by_name
        wanted = name_hash(name)
        # An int would be compared as a float, which has too few digits.
        first = int(np.searchsorted(hashes, np.uint64(wanted)))
        for i in range(first, len(hashes)):
            if int(hashes[i]) != wanted:
                break
            if self[int(order[i])].name == name:
                return int(order[i])
        return None

    def columns(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Positions of category ids; -1 where there is no such category."""
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        found = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[found] == ids, found, -1).astype(np.int64)

    def children(self, name: str) -> NDArray[np.int64]:
        """Positions of the categories whose parent has a name."""
        found = np.flatnonzero(self._rows["parent"] == name_hash(name))
        kept = [column for column in found if self[int(column)].parent == name]
        return np.array(kept, np.int64)

    @cached_property
    def has_parents(self) -> bool:
        """Whether any category names a parent."""
        return bool((self._rows["parent"] != 0).any())

    def places(self) -> list[tuple[str, str]]:
        """Name and parent of each category; what else is said of them is not checked."""
        return [(one["name"], one.get("parent", "")) for one in map(self._record, range(len(self)))]

    @cached_property
    def _by_name(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        order = np.argsort(self._rows["name"], kind="stable")
        return self._rows["name"][order], order

    def _parse(self, column: int) -> Category:
        try:
            return Category.model_validate(self._record(column))
        except ValidationError as error:
            raise self._damaged(error) from error

    def _record(self, column: int) -> dict[str, Any]:
        """What is written of a category: its fields, none of which is checked but the name."""
        row = self._rows[column]
        start, end = int(row["start"]), int(row["start"]) + int(row["size"])
        line = self._lines[int(self._layer[column])][max(start, 0) : end].tobytes()
        try:
            record: dict[str, Any] = json.loads(line)
            if record.pop("id") != int(self.ids[column]) or name_hash(record["name"]) != int(
                row["name"]
            ):
                raise ValueError(f"line of id {self.ids[column]} says {line[:80]!r}")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise self._damaged(error) from error
        return record

    def _damaged(self, error: Exception) -> DamagedDataError:
        return DamagedDataError(
            f"The categories of memory '{self._name}' are damaged: {error}.",
            f"Run: rar-agent memory verify {self._name}, which says which file.",
        )
