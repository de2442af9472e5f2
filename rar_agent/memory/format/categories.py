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
from pydantic_core import from_json

from rar_agent.errors import InputError
from rar_agent.memory.format.files import DATA, map_array, write_file
from rar_agent.memory.format.manifest import CATEGORY, MOST_CATEGORIES, LayerRef
from rar_agent.memory.format.opened import damaged, reason
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
        line = _line(number, category) if category is not None else b""
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


def require_readable(category: Category) -> None:
    """Check that what would be written of a category can be read again.

    Raises:
        InputError: Its metadata are no JSON, or nested deeper than the reader goes.
    """
    if all(isinstance(value, str | int | float | None) for value in category.metadata.values()):
        return
    try:
        from_json(_line(0, category))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The metadata of category '{category.name}' cannot be kept: {reason(error)}.",
            "Give plain JSON values, nested less than 200 deep.",
        ) from error


def _line(number: int, category: Category) -> bytes:
    record = {"id": number, **category.model_dump(mode="json", exclude_defaults=True)}
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


class Categories(Sequence[Category]):
    """The live categories of a generation, in the order of their ids.

    Args:
        folder: The memory's folder.
        layers: Oldest first; the last one that names a category counts.

    Raises:
        DamagedDataError: A file is missing or has another size than the manifest says.
    """

    def __init__(self, folder: Path, layers: Sequence[LayerRef]) -> None:
        self._folder, self._refs = folder, tuple(layers)
        self._lines = [
            map_array(folder, ref.lines, np.dtype("u1"), ref.lines.size) for ref in layers
        ]
        tables = [map_array(folder, ref.rows, CATEGORY, ref.count) for ref in layers]
        for ref, table in zip(layers, tables, strict=True):
            if (table["id"] < 0).any() or (table["id"] >= MOST_CATEGORIES).any():
                raise damaged(folder, f"{DATA}/{ref.rows.name}", "an id is out of range")
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

    def refuse_repeats(self) -> None:
        """Check that no two categories have a name.

        Raises:
            DamagedDataError: Two have.
        """
        hashes = np.sort(self._rows["name"])
        for alike in np.unique(hashes[1:][hashes[1:] == hashes[:-1]]):
            columns = np.flatnonzero(self._rows["name"] == alike)
            names = [self[int(column)].name for column in columns]
            if len(set(names)) < len(names):
                column = int(columns[-1])
                rows = self._refs[int(self._layer[column])].rows.name
                why = f"the name of id {self.ids[column]} is another's, by {rows} too"
                raise damaged(self._folder, self.file(column), why)

    def file(self, column: int) -> str:
        """Name of the file that says what a category is, from the memory's folder."""
        return f"{DATA}/{self._refs[int(self._layer[column])].lines.name}"

    @cached_property
    def _by_name(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        order = np.argsort(self._rows["name"], kind="stable")
        return self._rows["name"][order], order

    def _parse(self, column: int) -> Category:
        try:
            return Category.model_validate(self._record(column))
        except ValidationError as error:
            raise damaged(self._folder, self.file(column), error) from error

    def _record(self, column: int) -> dict[str, Any]:
        """What is written of a category: its fields, of which name and parent are checked."""
        row, ref = self._rows[column], self._refs[int(self._layer[column])]
        start, end = int(row["start"]), int(row["start"]) + int(row["size"])
        lines = self._lines[int(self._layer[column])]
        try:
            if not 0 <= start <= end <= len(lines):
                raise ValueError("there is no such place in it")
            # Refuses half characters and what is nested too deep, unlike json.
            record: dict[str, Any] = from_json(lines[start:end].tobytes())
            name, parent = record["name"], record.get("parent", "")
            found = record.pop("id"), _hash(name), _hash(parent)
            if found != (int(self.ids[column]), int(row["name"]), int(row["parent"])):
                raise ValueError("it says something else than was written")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            why = f"id {self.ids[column]} at {start} to {end} by {ref.rows.name}: {reason(error)}"
            raise damaged(self._folder, f"{DATA}/{ref.lines.name}", why) from error
        return record


def _hash(name: object) -> int:
    if not isinstance(name, str):
        raise TypeError(f"a name is {type(name).__name__}")
    return name_hash(name)
