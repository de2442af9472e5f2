"""PNG: chunks that inflate, repeat, lie or never end."""

from __future__ import annotations

import struct
import zlib

from tests.images.hostile import Hostile, encoded, frames, picture
from tests.images.hostile_exif import exif_of, looping_exif, xmp

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xae\x42\x60\x82"


def chunk(kind: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    """A chunk with the right checksum; `length` may lie."""
    size = len(body) if length is None else length
    return struct.pack(">I", size) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int, height: int, depth: int = 8, colour: int = 2, lace: int = 0) -> bytes:
    """IHDR."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, lace))


def zeros(megabytes: int) -> bytes:
    """A stream of deflate that inflates to so many megabytes of nothing."""
    pack = zlib.compressobj(9)
    start = pack.compress(bytes(1_000_000)) + pack.flush(zlib.Z_FULL_FLUSH)
    one = start[2:]  # stands alone, so it may be repeated
    total = 1_000_000 * megabytes
    return start + one * (megabytes - 1) + b"\3\0" + struct.pack(">HH", total % 65_521, 1)


def png(*more: bytes, size: tuple[int, int] = (8, 8), data: bytes | None = None) -> bytes:
    """A grey image of 8 bits with more chunks before its data."""
    width, height = size
    rows = zlib.compress(bytes((width + 1) * height)) if data is None else data
    head = SIGNATURE + header(width, height, colour=0)
    return b"".join([head, *more, chunk(b"IDAT", rows), END])


def text_bomb(kind: bytes) -> bytes:
    body = zeros(400)
    start = b"note\0\1\0\0\0" if kind == b"iTXt" else b"note\0\0"
    return png(chunk(kind, start + body))


def animated(count: int) -> bytes:
    first, *others = frames(count)
    return encoded(first, "PNG", save_all=True, append_images=others)


def _spliced(data: bytes, place: bytes, more: bytes) -> bytes:
    at = data.index(place) - 4
    return data[:at] + more + data[at:]


FILES = [
    Hostile(
        "PNG of 50,000 x 50,000",
        lambda: SIGNATURE + header(50_000, 50_000) + chunk(b"IDAT", zeros(1)) + END,
        "error",
        "pixels",
    ),
    Hostile(
        "PNG of 2^31 x 2^31",
        lambda: png(size=(1, 1)).replace(header(1, 1, colour=0), header(2**31 - 1, 2**31 - 1)),
        "error",
    ),
    Hostile(
        "PNG just over the limit",
        lambda: png(data=zeros(1)).replace(header(8, 8, colour=0), header(80_000_001, 1, 8, 0)),
        "error",
        "limit is",
    ),
    Hostile(
        "PNG just within the limit, without data",
        lambda: png(data=b"").replace(header(8, 8, colour=0), header(8_944, 8_944, 8, 6)),
        "error",
        "damaged or truncated",
    ),
    Hostile(
        "PNG of 16 bits and alpha just within the limit, without data",
        lambda: png(data=b"").replace(header(8, 8, colour=0), header(8_944, 8_944, 16, 6)),
        "error",
        "damaged or truncated",
    ),
    Hostile("PNG of no width", lambda: SIGNATURE + header(0, 9) + END, "error"),
    Hostile("PNG with a data bomb", lambda: png(data=zeros(1_000)), "image"),
    Hostile("PNG with a zTXt bomb", lambda: text_bomb(b"zTXt"), "error"),
    Hostile("PNG with an iTXt bomb", lambda: text_bomb(b"iTXt"), "error"),
    Hostile(
        "PNG with a colour profile that is a bomb",
        lambda: png(chunk(b"iCCP", b"icc\0\0" + zeros(1_000))),
        "error",
    ),
    Hostile(
        "PNG with two million texts", lambda: png(chunk(b"tEXt", b"a\0b") * 2_000_000), "error"
    ),
    Hostile("PNG with two million empty chunks", lambda: png(chunk(b"prVt") * 2_000_000), "error"),
    Hostile(
        "PNG with two million empty data chunks",
        lambda: png(*([chunk(b"IDAT")] * 2_000_000)),
        "error",
    ),
    Hostile("PNG with a chunk of 4 GB", lambda: png(chunk(b"tEXt", b"a\0b", 2**32 - 1)), "error"),
    Hostile(
        "PNG with a wrong checksum",
        lambda: png(chunk(b"tEXt", b"a\0b")[:-1] + b"?"),
        "error",
    ),
    Hostile("PNG whose data is cut", lambda: encoded(picture(), "PNG")[:-40], "error"),
    Hostile("PNG with two headers", lambda: png(header(9_999, 9_999)), "error"),
    Hostile(
        "PNG with a second header after its data",
        lambda: png()[: -len(END)] + header(60_000, 60_000) + END,
        "image",
    ),
    Hostile(
        "PNG without a palette",
        lambda: png().replace(header(8, 8, colour=0), header(8, 8, 8, 3)),
        "error",
    ),
    Hostile(
        "PNG with a palette of 1,000 colours",
        lambda: (
            SIGNATURE
            + header(8, 8, 8, 3)
            + chunk(b"PLTE", bytes(3_000))
            + chunk(b"tRNS", bytes(2_000))
            + chunk(b"IDAT", zlib.compress(bytes(72)))
            + END
        ),
        "error",
    ),
    Hostile("PNG of an unknown depth", lambda: SIGNATURE + header(8, 8, 7) + END, "error"),
    Hostile("PNG with a looping EXIF", lambda: png(chunk(b"eXIf", looping_exif())), "image"),
    Hostile(
        "PNG with an EXIF bomb",
        lambda: png(chunk(b"eXIf", exif_of(20_000, 10_000_000))),
        "image",
    ),
    Hostile(
        "PNG turned by XMP",
        lambda: png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)), size=(8, 16)),
        "image",
    ),
    Hostile(
        "PNG with a raw profile of 20 MB",
        lambda: png(chunk(b"tEXt", b"Raw profile type exif\0\n\n\n" + b"4d" * 10_000_000)),
        "image",
    ),
    Hostile(
        "PNG with a raw profile that is no hex",
        lambda: png(chunk(b"tEXt", b"Raw profile type exif\0\nexif\n5\nhello")),
        "image",
    ),
    Hostile("PNG of 1,200 frames", lambda: animated(1_200), "error", "frames"),
    Hostile(
        "PNG that says it has 2^31 frames",
        lambda: png(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
        "error",
        "frames",
    ),
    Hostile(
        "PNG that says it has 900 frames and has one",
        lambda: png(chunk(b"acTL", struct.pack(">II", 900, 0))),
        "image",
    ),
    Hostile(
        "PNG whose frame lies outside",
        lambda: png(
            chunk(b"acTL", struct.pack(">II", 2, 0)),
            chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 9, 9, 2**31, 2**31, 1, 1, 0, 0)),
        ),
        "error",
    ),
]
