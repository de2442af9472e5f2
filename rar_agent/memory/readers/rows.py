"""The rows of a table, in any of the formats that are read."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rar_agent.errors import ConfigurationError, InputError
from rar_agent.images.policy import printable
from rar_agent.memory.readers.fields import pick
from rar_agent.memory.readers.identity import unreadable
from rar_agent.memory.readers.place import Cell
from rar_agent.memory.readers.sample import failed
from rar_agent.types import Failure

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
"""Suffixes of tables, in small letters."""
LONGEST_LINE = 10_000_000
"""Bytes of one line of JSON; a longer one is a failure and is not held in memory."""

PARQUET_ROWS = 64
"""Rows of Parquet that are read at once; they may hold their images."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        where: The table and the row in it: `birds.csv:12` by line, `birds.parquet[12]` by row
            from 0.
        values: By column.
    """

    where: str
    values: dict[str, object]


def read_rows(path: Path, images: Collection[str] = ()) -> Iterator[Row | Failure]:
    """The rows of a table, in order; what is malformed is a failure in its place.

    Args:
        path: With one of the suffixes of `TABLES`.
        images: Names of the image's column, the first that is there counts: of a Parquet file
            that holds images there, their places are given, and not their bytes.

    Raises:
        InputError: It cannot be read at all.
        ConfigurationError: It is Parquet and pyarrow is not installed.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            yield from _parquet(path, images)
        elif suffix in (".csv", ".tsv"):
            yield from _csv(path, "\t" if suffix == ".tsv" else ",")
        else:
            yield from _json_lines(path)
    except OSError as error:
        raise unreadable(path, error) from error


def _csv(path: Path, delimiter: str) -> Iterator[Row | Failure]:
    place = printable(str(path))
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        lines = csv.reader(file, delimiter=delimiter)
        try:
            header = [column.strip() for column in next(lines, [])]
        except csv.Error as error:
            raise unreadable(path, error) from error
        if "\0" in "".join(header):
            raise InputError(f"'{place}' is not UTF-8 text.", "Save it as CSV UTF-8.")
        twice = {column for column in header if column and header.count(column) > 1}
        if twice:
            raise InputError(
                f"'{place}' has two columns '{printable(min(twice))}'.", "Rename one of them."
            )
        while True:
            where = f"{place}:{lines.line_num + 1}"
            try:
                cells = next(lines)
            except StopIteration:
                return
            except csv.Error as error:
                yield failed(where, InputError(f"The row is malformed: {error}.", "Correct it."))
                continue
            if any(cell.strip() for cell in cells):
                yield _csv_row(where, header, cells)


def _csv_row(where: str, header: list[str], cells: list[str]) -> Row | Failure:
    if len(cells) > len(header):
        error = InputError(
            f"The row has {len(cells)} cells, the header {len(header)}.",
            "Put cells that hold the delimiter into quotation marks.",
        )
        return failed(where, error)
    if any(printable(cell) != cell for cell in cells):
        return failed(where, InputError("The row is not UTF-8.", "Save the table as UTF-8."))
    cells += [""] * (len(header) - len(cells))
    values = {c: cell for c, cell in zip(header, cells, strict=True) if c}
    return Row(where, dict(values))


def _json_lines(path: Path) -> Iterator[Row | Failure]:
    place = printable(str(path))
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            rest = line
            while len(rest) > LONGEST_LINE and not rest.endswith(b"\n"):
                rest = file.readline(LONGEST_LINE + 1)
            if line.strip():
                yield _json_row(f"{place}:{number}", line)


def _json_row(where: str, line: bytes) -> Row | Failure:
    try:
        if len(line) > LONGEST_LINE:
            raise InputError(
                f"The line is longer than {LONGEST_LINE:,} bytes.", "Write one object a line."
            )
        found = json.loads(line.decode("utf-8-sig"))
        if not isinstance(found, dict):
            raise InputError(
                f"The line is a {type(found).__name__}, not an object.",
                'Write {"image": "1.jpg", "category": "robin"}.',
            )
    except InputError as error:
        return failed(where, error)
    except (ValueError, RecursionError) as error:
        return failed(where, InputError(f"The line is not JSON: {error}.", "Correct it."))
    return Row(where, found)


def _parquet(path: Path, images: Collection[str]) -> Iterator[Row | Failure]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ConfigurationError(
            "Reading Parquet needs pyarrow, which is not installed.",
            "Run: pip install 'rar-agent[data]'",
        ) from error
    place = printable(str(path))
    first = 0
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise unreadable(path, error) from error
    with file:
        for group in range(file.num_row_groups):  # all in one, and pyarrow would hold them all
            number, end = first, first + file.metadata.row_group(group).num_rows
            apart = column_of_bytes(file, group, images)
            read = [name for name in file.schema_arrow.names if name != apart] if apart else None
            try:
                for batch in file.iter_batches(PARQUET_ROWS, row_groups=[group], columns=read):
                    for i in range(batch.num_rows):
                        row = _parquet_row(f"{place}[{number}]", batch.slice(i, 1))
                        if apart and isinstance(row, Row):
                            row.values[apart] = Cell(path, apart, group, number - first)
                        yield row
                        number += 1
            except (pa.ArrowException, OSError) as error:
                damage = InputError(
                    f"Rows {number} to {end - 1} cannot be read: {error}.", "Get the file again."
                )
                yield failed(f"{place}[{number}]", damage)
            first = end


def _parquet_row(where: str, batch: pa.RecordBatch) -> Row | Failure:
    try:
        [values] = batch.to_pylist()
    except (ValueError, OverflowError) as error:  # text that is not UTF-8, a date out of range
        return failed(where, InputError(f"The row cannot be read: {error}.", "Correct it."))
    return Row(where, values)


def column_of_bytes(file: pq.ParquetFile, group: int, names: Collection[str]) -> str | None:
    """The column of images, where a row group holds one in every row; else None.

    Args:
        file: Opened.
        group: Row group.
        names: Of the image's column; the first that is there counts.
    """
    import pyarrow as pa

    columns = file.schema_arrow.names
    name = pick(columns, names)
    if name is None or len(columns) == 1:
        return None
    kind = file.schema_arrow.field(name).type
    held = kind.field("bytes").type if pa.types.is_struct(kind) and "bytes" in kind.names else kind
    if not (pa.types.is_binary(held) or pa.types.is_large_binary(held)):
        return None
    path = name if held is kind else f"{name}.bytes"
    found = file.metadata.row_group(group)
    for i in range(found.num_columns):
        chunk = found.column(i)
        if chunk.path_in_schema == path and chunk.statistics is not None:
            return name if chunk.statistics.null_count == 0 else None
    return None
