"""Members of a tar, one after another, with nothing extracted and nothing held."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

_LONGEST_HEADER = 32_768
"""Bytes of a header that goes on in its own block; tarfile would read any length into memory."""
_PIECE = 65_536  # bytes
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class DamagedTarError(Exception):
    """A tar cannot be read any further."""


class _Header(tarfile.TarInfo):
    """A header that is sound; tarfile would take an unsound one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        if len(buf) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends without its end mark, so it may have been cut")
        if not any(buf):
            return super().frombuf(buf, encoding, errors)  # raises what says: the end
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"a header is damaged ({error})") from error
        if header.size < 0 or header.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a member is of a kind that is not read")
        if header.type in _EXTENDED and header.size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header has {header.size:,} bytes")
        return header

    def _proc_gnusparse_10(self, *_: object) -> None:
        # tarfile's own reads a map of any length into memory; a test says if it is renamed
        raise tarfile.ReadError("a member is of a kind that is not read")


@dataclass(frozen=True)
class Member:
    """A regular file in a tar.

    Attributes:
        name: Its path in the tar; it is only ever a name.
        size: Bytes it says it has.
        data: Its bytes; None where they are more than are wanted.
        number: Among the regular files, from 0.
        offset: Of its bytes in the tar; None where that is packed.
    """

    name: str
    size: int
    data: bytes | None
    number: int = 0
    offset: int | None = None


def read_members(
    path: Path, wanted: Callable[[str], int], passing_over: bool = False
) -> Iterator[Member]:
    """Regular files of a tar or a gzipped tar, in order; links, devices and folders are not.

    Args:
        path: The tar.
        wanted: From a member's name to the most bytes of it that are read; of a larger member
            none are.
        passing_over: Whether what is not wanted is not even read, where the tar is not packed.

    Raises:
        DamagedTarError: It is no tar, was cut, or is damaged here; or cannot be opened.
    """
    try:
        with path.open("rb") as file:
            # gzip and nothing else: a small xz or bzip2 file can ask for gigabytes at once
            packed = file.read(2) == b"\x1f\x8b"
            size = file.seek(0, SEEK_END)
            file.seek(0)
            seeks = passing_over and not packed
            number = 0
            with _opened(file, packed, seeks) as tar:
                while (member := tar.next()) is not None:
                    # it would keep every header it has met
                    tar.members.clear()  # type: ignore[attr-defined]
                    if seeks and member.isreg() and member.offset_data + member.size > size:
                        raise tarfile.ReadError("unexpected end of data")
                    if member.isreg():
                        offset = None if packed else member.offset_data
                        data = _read(tar, member, wanted(member.name))
                        yield Member(member.name, member.size, data, number, offset)
                        number += 1
                    if not seeks:
                        _pass_over_rest(tar)
    except Exception as error:  # tarfile raises whatever its parsers hit
        raise DamagedTarError(str(error) or type(error).__name__) from error


def _opened(file: BinaryIO, packed: bool, seeks: bool) -> tarfile.TarFile:
    if seeks:
        return tarfile.open(fileobj=file, mode="r:", tarinfo=_Header)
    return tarfile.open(fileobj=file, mode="r|gz" if packed else "r|", tarinfo=_Header)


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes | None:
    if member.size > most:
        return None
    opened = tar.extractfile(member)
    return opened.read() if opened else b""


def _pass_over_rest(tar: tarfile.TarFile) -> None:
    """Go to the next header; tarfile goes on for as long as a header says, past the end too."""
    stream = tar.fileobj
    while stream is not None and (left := tar.offset - stream.tell()) > 0:
        if not stream.read(min(left, _PIECE)):
            raise tarfile.ReadError("it ends in the midst of a member, so it was cut")
