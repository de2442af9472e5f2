"""Images that lie in files that hold many: listed without their bytes, and read in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rar_agent.errors import ImageError
from rar_agent.images.policy import printable
from rar_agent.memory.readers.place import Cell, Packed, Place, Span
from rar_agent.memory.readers.rows import PARQUET_ROWS
from rar_agent.memory.readers.sample import Reader, Sample
from rar_agent.memory.readers.tar import DamagedTarError, read_members
from rar_agent.types import Failure


def placed(reader: Reader) -> Iterator[Sample | Failure]:
    """A reader's samples; of images in files that hold many, the places and not the bytes.

    Readers that know no places give samples as ever.
    """
    own = getattr(reader, "placed", None)
    return own() if own else reader.samples()


class PlaceReader:
    """Reads places one after another, with no more than a few rows held.

    Places in one file come in its order, as readers give them: so each file is read once. Any
    order works.
    """

    def __init__(self) -> None:
        self._opened: _Rows | _Members | None = None

    def read(self, place: Place) -> bytes:
        """The bytes of a place.

        Raises:
            ImageError: The file cannot be read, or has become shorter.
        """
        if isinstance(place, Span):
            return _span(place)
        if self._opened is None or not self._opened.reaches(place):
            self._opened = _Members(place) if isinstance(place, Packed) else _Rows(place)
        return self._opened.bytes(place)


def _span(span: Span) -> bytes:
    try:
        with span.file.open("rb") as opened:
            opened.seek(span.offset)
            data = opened.read(span.size)
    except OSError as error:
        raise _unreadable(span.file, error.strerror or str(error)) from error
    if len(data) < span.size:
        raise _unreadable(span.file, "it has become shorter")
    return data


class _Members:
    """Members of a gzipped tar, from its beginning on."""

    def __init__(self, first: Packed) -> None:
        self._file, self._next = first.file, 0
        self._members = read_members(first.file, lambda _: self._size)
        self._size = 0  # of the member that is read; others are passed over if they are larger

    def reaches(self, place: Place) -> bool:
        """Whether a place is not passed yet."""
        return isinstance(place, Packed) and place.file == self._file and place.number >= self._next

    def bytes(self, place: Place) -> bytes:
        """The bytes of a member."""
        assert isinstance(place, Packed)  # noqa: S101 - it was asked whether it is reached
        self._size = place.size
        try:
            while self._next <= place.number:
                member = next(self._members)
                self._next += 1
            return member.data or b""
        except StopIteration as error:
            raise _unreadable(self._file, "it has become shorter") from error
        except DamagedTarError as error:
            raise _unreadable(self._file, str(error)) from error


class _Rows:
    """Rows of a row group, from its beginning on."""

    def __init__(self, first: Cell) -> None:
        self._first, self._next = first, 0
        self._rows = _cells(first)

    def reaches(self, place: Place) -> bool:
        """Whether a place is not passed yet."""
        return place == replace(self._first, number=getattr(place, "number", 0)) and (
            isinstance(place, Cell) and place.number >= self._next
        )

    def bytes(self, place: Place) -> bytes:
        """The bytes in a row."""
        assert isinstance(place, Cell)  # noqa: S101 - likewise
        try:
            while self._next <= place.number:
                cell = next(self._rows)
                self._next += 1
            return cell or b""
        except StopIteration as error:
            raise _unreadable(self._first.file, "it has become shorter") from error


def _cells(first: Cell) -> Iterator[bytes | None]:
    """The bytes of a column in a row group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(first.file) as file:
            for batch in file.iter_batches(
                PARQUET_ROWS, row_groups=[first.group], columns=[first.column]
            ):
                for value in batch.column(0).to_pylist():
                    yield value.get("bytes") if isinstance(value, dict) else value
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(first.file, str(error)) from error


def _unreadable(file: Path, why: str) -> ImageError:
    return ImageError(f"'{printable(str(file))}' cannot be read: {why}.", "Get the file again.")
