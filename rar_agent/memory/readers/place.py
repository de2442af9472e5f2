"""Where an image lies in a file that holds many, so that another process can read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Span:
    """Bytes of a file, as those of a member of a tar.

    Attributes:
        file: Absolute.
        offset: Of the first byte.
        size: How many there are.
    """

    file: Path
    offset: int
    size: int


@dataclass(frozen=True)
class Packed:
    """A member of a gzipped tar, which is only read from its beginning.

    Attributes:
        file: Absolute.
        number: Of the member among the regular files, from 0.
        size: Its bytes.
    """

    file: Path
    number: int
    size: int


@dataclass(frozen=True)
class Cell:
    """Encoded bytes in a row of a Parquet file.

    Attributes:
        file: Absolute.
        column: That holds bytes, or a struct with them.
        group: Row group.
        number: Of the row in it, from 0.
    """

    file: Path
    column: str
    group: int
    number: int


Place = Span | Packed | Cell
