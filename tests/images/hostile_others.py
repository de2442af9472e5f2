"""GIF, BMP and WebP: screens, runs and animations."""

from __future__ import annotations

import struct

from tests.images.hostile import Hostile, encoded, frames, picture
from tests.images.hostile_exif import exif_of, looping_exif

FRAME = b",\0\0\0\0\1\0\1\0\0\2\2L\1\0"
"""One pixel of a GIF."""


def gif(width: int, height: int, *blocks: bytes) -> bytes:
    """A GIF of two colours."""
    start = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return b"".join([start, *blocks, b";"])


def area(left: int, top: int, width: int, height: int) -> bytes:
    """A frame of a GIF at a place."""
    return b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\2\2L\1\0"


def bmp(width: int, height: int, compression: int, data: bytes, bits: int = 8) -> bytes:
    """A BMP with a palette of 256 greys."""
    colours = b"".join(bytes([n, n, n, 0]) for n in range(256)) if bits == 8 else b""
    at = 54 + len(colours)
    head = b"BM" + struct.pack("<LHHL", at + len(data), 0, 0, at)
    about = struct.pack(
        "<LllHHLLllLL", 40, width, height, 1, bits, compression, len(data), 0, 0, 0, 0
    )
    return head + about + colours + data


def runs(width: int, height: int) -> bytes:
    """Compressed rows in which no two neighbours are alike: an honest image at its largest."""
    row = b"".join(bytes([1, x % 251]) for x in range(width)) + b"\0\0"
    return row * height + b"\0\1"


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """WebP of these chunks."""
    parts = (
        name + struct.pack("<L", len(data)) + data + b"\0" * (len(data) % 2)
        for name, data in chunks
    )
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    """WebP's extended header."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + size


def webp(**options: object) -> bytes:
    return encoded(picture(), "WEBP", **options)


def inner(data: bytes) -> tuple[bytes, bytes]:
    """The one chunk of a simple WebP."""
    return data[12:16], data[20:]


def moving(kind: str, count: int) -> bytes:
    first, *others = frames(count)
    options = {"lossless": True} if kind == "WEBP" else {}
    return encoded(first, kind, save_all=True, append_images=others, **options)


def frame_of_webp(data: bytes, width: int = 24, height: int = 16) -> tuple[bytes, bytes]:
    name, body = inner(data)
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    start = bytes(6) + size + (100).to_bytes(3, "little") + b"\0"
    return b"ANMF", start + name + struct.pack("<L", len(body)) + body + b"\0" * (len(body) % 2)


FILES = [
    Hostile("GIF with a screen of 65,535 x 65,535", lambda: gif(65_535, 65_535, FRAME), "error"),
    Hostile("GIF just within the limit", lambda: gif(8_944, 8_944, FRAME), "image"),
    Hostile(
        "GIF whose frame is larger than its screen",
        lambda: gif(1, 1, area(0, 0, 65_535, 65_535)),
        "error",
    ),
    Hostile(
        "GIF whose second frame is larger than its screen",
        lambda: gif(1, 1, FRAME, area(60_000, 60_000, 5_000, 5_000)),
        "image",
    ),
    Hostile("GIF of 10,000 frames", lambda: gif(1, 1, FRAME * 10_000), "error", "frames"),
    Hostile("GIF of two million frames", lambda: gif(1, 1, FRAME * 2_000_000), "error"),
    Hostile("GIF of 2,000 frames as encoders make it", lambda: moving("GIF", 2_000), "error"),
    Hostile(
        "GIF with ten million comments of a byte",
        lambda: gif(1, 1, b"!\xfe" + b"\1a" * 10_000_000 + b"\0", FRAME),
        "error",
    ),
    Hostile(
        "GIF with 30 MB of comments",
        lambda: gif(1, 1, b"!\xfe" + (b"\xff" + bytes(255)) * 120_000 + b"\0", FRAME),
        "image",
    ),
    Hostile("GIF of data without an end", lambda: gif(9, 9, FRAME[:-1])[:-1], "image"),
    Hostile(
        "GIF with codes of 255 bits",
        lambda: gif(9, 9, FRAME.replace(b"\2\2L", b"\xff\2L")),
        "error",
    ),
    Hostile("GIF without a frame", lambda: gif(9, 9), "error"),
    Hostile(
        "BMP of 50,000 x 50,000", lambda: bmp(50_000, 50_000, 0, b"\0" * 99), "error", "pixels"
    ),
    Hostile("BMP of 2^31 x 2^31", lambda: bmp(2**31 - 1, -(2**31), 0, b"\0" * 99), "error"),
    Hostile("BMP of a negative width", lambda: bmp(-8, 8, 0, b"\0" * 99), "error"),
    Hostile(
        "BMP of runs that fill the limit",
        lambda: bmp(8_944, 8_944, 1, b"\xff\7" * 400_000 + b"\0\1"),
        "error",
    ),
    Hostile(
        "BMP of five million runs of nothing",
        lambda: bmp(16, 16, 1, b"\0\2\0\0" * 5_000_000 + b"\0\1"),
        "error",
    ),
    Hostile(
        "BMP of a million runs, as encoders make them",
        lambda: bmp(1_200, 900, 1, runs(1_200, 900)),
        "image",
    ),
    Hostile("BMP of runs of none", lambda: bmp(64, 64, 1, b"\0\0" * 5_000_000), "error"),
    Hostile("BMP of runs without an end", lambda: bmp(64, 64, 1, b"\xff\7" * 3), "error"),
    Hostile("BMP of runs of 4 bits", lambda: bmp(64, 64, 2, b"\xff\7" * 99 + b"\0\1"), "error"),
    Hostile("BMP that jumps out", lambda: bmp(64, 64, 1, b"\0\2\xff\xff" * 99 + b"\0\1"), "image"),
    Hostile(
        "BMP just within the limit, without data", lambda: bmp(8_944, 8_944, 0, b"", 24), "error"
    ),
    Hostile(
        "BMP with a PNG within", lambda: bmp(24, 16, 5, encoded(picture(), "PNG"), 24), "error"
    ),
    Hostile(
        "WebP with a canvas of 16,777,216 x 255",
        lambda: riff(canvas(2**24, 255), inner(webp())),
        "error",
    ),
    Hostile(
        "WebP with a moving canvas of 16,384 x 16,384",
        lambda: riff(canvas(16_384, 16_384, 2), (b"ANIM", bytes(6)), frame_of_webp(webp())),
        "error",
    ),
    Hostile(
        "WebP with a moving canvas just within the limit",
        lambda: riff(canvas(8_944, 8_944, 2), (b"ANIM", bytes(6)), frame_of_webp(webp())),
        "image",
    ),
    Hostile("WebP of 1,500 frames", lambda: moving("WEBP", 1_500), "error", "frames"),
    Hostile(
        "WebP of 200,000 frames",
        lambda: riff(
            canvas(24, 16, 2),
            (b"ANIM", bytes(6)),
            *([frame_of_webp(webp(lossless=True))] * 200_000),
        ),
        "error",
    ),
    Hostile(
        "WebP whose frame lies outside",
        lambda: riff(canvas(2, 2, 2), (b"ANIM", bytes(6)), frame_of_webp(webp())),
        "error",
    ),
    Hostile(
        "WebP with a million chunks",
        lambda: riff(canvas(24, 16), *([(b"JUNK", b"")] * 1_000_000), inner(webp())),
        "image",
    ),
    Hostile("WebP with a looping EXIF", lambda: webp(exif=b"Exif\0\0" + looping_exif()), "image"),
    Hostile(
        "WebP with an EXIF bomb",
        lambda: riff(canvas(24, 16, 8), inner(webp()), (b"EXIF", exif_of(20_000, 10_000_000))),
        "image",
    ),
    Hostile("WebP without loss that is cut", lambda: webp(lossless=True)[:-20], "error"),
    Hostile("WebP that is cut", lambda: webp()[:-40], "error"),
]
