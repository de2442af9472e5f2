"""EXIF directories and XMP, as they are put into files of several formats."""

from __future__ import annotations

import struct


def exif_of(tags: int, each: int) -> bytes:
    """A directory whose tags all claim the same bytes, which a reader copies for each."""
    entries = b"".join(
        struct.pack("<HHLL", 0x1000 + n, 7, each, 8) for n in range(min(tags, 60_000))
    )
    start = b"II*\0" + struct.pack("<L", 8) + struct.pack("<H", min(tags, 65_535)) + entries
    return start + bytes(max(0, each + 8 - len(start)))


def looping_exif() -> bytes:
    """A directory that is followed by itself, and whose own directories are itself."""
    own = b"".join(struct.pack("<HHLL", tag, 4, 1, 8) for tag in (0x8769, 0x8825, 0xA005))
    turned = struct.pack("<HHLL", 0x0112, 3, 1, 6)
    return b"II*\0" + struct.pack("<LH", 8, 4) + turned + own + struct.pack("<L", 8)


def turned_exif(orientation: int, kind: int = 3, count: int = 1) -> bytes:
    """The least of an EXIF that turns an image."""
    entry = struct.pack("<HHLL", 0x0112, kind, count, orientation)
    return b"II*\0" + struct.pack("<LH", 8, 1) + entry + bytes(4)


def xmp(orientation: int) -> bytes:
    """XMP that turns an image."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description '
        f'tiff:Orientation="{orientation}"/></x:xmpmeta>'
    ).encode()
