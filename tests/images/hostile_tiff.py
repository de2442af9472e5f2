"""TIFF: directories that loop, claim or multiply, and JPEG within."""

from __future__ import annotations

import struct

from tests.images.hostile import Hostile, encoded, picture
from tests.images.hostile_exif import exif_of, looping_exif

Entry = tuple[int, int, int, int]
"""Tag, type, count, value or offset."""


def tiff(*directories: tuple[list[Entry], int], after: bytes = b"") -> bytes:
    """Little-endian directories one after the other, each with the offset that follows it."""
    body = b"".join(
        struct.pack("<H", len(entries))
        + b"".join(struct.pack("<HHLL", *entry) for entry in entries)
        + struct.pack("<L", following)
        for entries, following in directories
    )
    return b"II*\0" + struct.pack("<L", 8) + body + after


def grey(width: int, height: int, *more: Entry) -> list[Entry]:
    """A directory of a grey image in one strip at the start of the file."""
    usual = {
        256: (256, 4, 1, width),
        257: (257, 4, 1, height),
        258: (258, 3, 1, 8),
        259: (259, 3, 1, 1),
        262: (262, 3, 1, 1),
        273: (273, 4, 1, 8),
        277: (277, 3, 1, 1),
        278: (278, 4, 1, height),
        279: (279, 4, 1, width * height),
    }
    return sorted({**usual, **{entry[0]: entry for entry in more}}.values())


def chained(count: int) -> bytes:
    """So many directories without anything in them."""
    return (
        b"II*\0"
        + struct.pack("<L", 8)
        + b"".join(struct.pack("<HHHLLL", 1, 254, 4, 1, 0, 8 + 18 * (n + 1)) for n in range(count))
    )


def big(count: int, entries: int) -> bytes:
    """BigTIFF that says how many entries it has, and has others."""
    start = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, count)
    return start + b"".join(struct.pack("<HHQQ", n % 65_536, 4, 1, 1) for n in range(entries))


def tiled(side: int, tile: int) -> bytes:
    tiles = (side // tile + 1) ** 2
    entries = grey(side, side, (322, 4, 1, tile), (323, 4, 1, tile), (259, 3, 1, 8))
    entries = [entry for entry in entries if entry[0] not in (273, 278, 279)]
    return tiff((sorted([*entries, (324, 4, tiles, 8), (325, 4, tiles, 8)]), 0), after=bytes(999))


def pages(count: int) -> bytes:
    """So many images of a byte."""
    length = len(tiff((grey(1, 1), 0))) - 8
    return tiff(*((grey(1, 1), 8 + length * (n + 1)) for n in range(count - 1)), (grey(1, 1), 0))


def packed(compression: str) -> bytes:
    return encoded(picture(), "TIFF", compression=compression)


FILES = [
    Hostile(
        "TIFF whose directory follows itself",
        lambda: tiff((grey(8, 8), 8), after=bytes(64)),
        "image",
    ),
    Hostile(
        "TIFF whose two directories follow each other",
        lambda: tiff((grey(8, 8), 122), (grey(8, 8), 8), after=bytes(64)),
        "image",
    ),
    Hostile("TIFF of 2,000 pages", lambda: pages(2_000), "error", "frames"),
    Hostile("TIFF of a million directories", lambda: chained(1_000_000), "error"),
    Hostile(
        "TIFF whose directory is outside", lambda: b"II*\0\xff\xff\xff\x7f" + bytes(9), "error"
    ),
    Hostile("TIFF of 50,000 x 50,000", lambda: tiff((grey(50_000, 50_000), 0)), "error", "pixels"),
    Hostile(
        "TIFF of 2^31 x 2^31",
        lambda: tiff((grey(2**31 - 1, 2**31 - 1, (279, 4, 1, 8)), 0)),
        "error",
    ),
    Hostile(
        "TIFF just within the limit, without data",
        lambda: tiff((grey(8_944, 8_944), 0)),
        "error",
    ),
    Hostile(
        "TIFF of 32-bit numbers just within the limit, without data",
        lambda: tiff((grey(8_944, 8_944, (258, 3, 1, 32), (339, 3, 1, 3)), 0)),
        "error",
    ),
    Hostile(
        "TIFF with tags that all claim the same 10 MB", lambda: exif_of(60_000, 10_000_000), "error"
    ),
    Hostile(
        "TIFF with four billion values in a tag",
        lambda: tiff((grey(8, 8, (258, 3, 2**32 - 1, 8)), 0), after=bytes(99)),
        "image",
    ),
    Hostile("TIFF that is a looping EXIF", looping_exif, "error"),
    Hostile("BigTIFF of 2^64 entries", lambda: big(2**64 - 1, 10), "error"),
    Hostile("BigTIFF of two million entries", lambda: big(2_000_000, 2_000_000), "error"),
    Hostile("TIFF with tiles of 2^31", lambda: tiled(64, 2**31 - 16), "error"),
    Hostile("TIFF with tiles of 32,768", lambda: tiled(64, 32_768), "error"),
    Hostile("TIFF with a million tiles", lambda: tiled(8_000, 8), "error"),
    Hostile(
        "TIFF with strips outside",
        lambda: tiff((grey(8, 8, (273, 4, 1, 2**32 - 9)), 0)),
        "error",
    ),
    Hostile(
        "TIFF of a thousand samples a pixel",
        lambda: tiff((grey(8, 8, (277, 3, 1, 1_000), (258, 3, 1_000, 8)), 0), after=bytes(9_000)),
        "error",
    ),
    Hostile(
        "TIFF of fax that is noise",
        lambda: tiff(
            (grey(4_000, 4_000, (259, 3, 1, 4), (258, 3, 1, 1)), 0), after=b"\xa5\x3c" * 9
        ),
        "error",
    ),
    *(
        Hostile(f"TIFF packed by {way}, cut", lambda way=way: packed(way)[:60], "error")
        for way in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    ),
    Hostile("TIFF with JPEG within", lambda: packed("jpeg"), "image"),
    Hostile(
        "TIFF with a JPEG within that is damaged",
        lambda: packed("jpeg").replace(b"\xff\xda", b"\xff\xdd"),
        "error",
    ),
]
