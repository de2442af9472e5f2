"""JPEG: sizes that are claimed, scans and markers without end, and what few can decode."""

from __future__ import annotations

import io
import struct

from PIL import Image

from tests.images.hostile import Hostile, encoded, picture
from tests.images.hostile_exif import exif_of, looping_exif, turned_exif, xmp

END = b"\xff\xd9"


def segment(marker: int, body: bytes = b"", length: int | None = None) -> bytes:
    """A segment; `length` may lie."""
    size = len(body) + 2 if length is None else length
    return struct.pack(">BBH", 0xFF, marker, size) + body


def jpeg(*more: bytes, **options: object) -> bytes:
    """A small JPEG with more segments after its start."""
    data = encoded(picture(), "JPEG", **options)
    return data[:2] + b"".join(more) + data[2:]


def frame(
    width: int, height: int, layers: int = 3, kind: int = 0xC0, bits: int = 8, sampling: int = 0x11
) -> bytes:
    """Start of a frame."""
    each = b"".join(bytes([n + 1, sampling, 0]) for n in range(layers))
    return segment(kind, struct.pack(">BHHB", bits, height, width, layers) + each)


def resized(width: int, height: int, progressive: bool = False, mode: str = "RGB") -> bytes:
    """A small JPEG that says it is another size."""
    data = bytearray(encoded(picture(mode=mode), "JPEG", progressive=progressive))
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def many_scans(side: int, scans: int) -> bytes:
    """Progressive and grey; each scan says of 32,767 blocks at a time that nothing changes.

    A few bytes make a decoder walk over all blocks of the image.
    """
    quantised = segment(0xDB, b"\0" + b"\1" * 64)
    # one code, 1 bit long, for a run of 2^14 blocks; and one for DC differences of 0
    direct = segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\x00")
    runs = segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\xe0")
    blocks = (side // 8) ** 2
    bits = "".join("0" + "1" * 14 for _ in range(blocks // (2**15 - 1) + 1))
    bits += "1" * (-len(bits) % 8)
    body = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    first = segment(0xDA, b"\x01\x01\x00\x00\x00\x00") + bytes(blocks // 8 + 1)
    scan = segment(0xDA, b"\x01\x01\x00\x01\x3f\x00") + body
    start = b"\xff\xd8" + quantised + direct + runs + frame(side, side, 1, 0xC2)
    return start + first + scan * scans + END


def turned(how: bytes) -> bytes:
    return jpeg(segment(0xE1, how))


def multi_picture(count: int) -> bytes:
    """MPO."""
    first, *others = [picture() for _ in range(count)]
    out = io.BytesIO()
    first.save(out, "MPO", save_all=True, append_images=others)
    return out.getvalue()


def adobe(transform: int) -> bytes:
    """CMYK, or YCCK by what its segment says."""
    data = encoded(Image.new("CMYK", (16, 16), (0, 200, 200, 0)), "JPEG")
    at = data.find(b"Adobe")
    return data if at < 0 else data[: at + 11] + bytes([transform]) + data[at + 12 :]


def with_frame(kind: int, **options: int) -> bytes:
    """A small JPEG whose frame is said to be of another kind."""
    data = bytearray(encoded(picture(), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 1] = kind
    if bits := options.get("bits"):
        data[at + 4] = bits
    return bytes(data)


def exif_segments(data: bytes) -> list[bytes]:
    """EXIF in as many segments as it needs."""
    step = 65_000
    parts = [data[at : at + step] for at in range(0, len(data), step)]
    return [segment(0xE1, b"Exif\0\0" + part) for part in parts]


FILES = [
    Hostile("JPEG of 65,535 x 65,535", lambda: resized(65_535, 65_535), "error", "pixels"),
    Hostile("JPEG of 50,000 x 50,000", lambda: resized(50_000, 50_000), "error", "pixels"),
    Hostile("JPEG of no height", lambda: resized(24, 0), "error"),
    Hostile("JPEG just within the limit, nearly empty", lambda: resized(8_944, 8_944), "image"),
    Hostile(
        "progressive JPEG just within the limit, nearly empty",
        lambda: resized(8_944, 8_944, progressive=True),
        "image",
    ),
    Hostile(
        "JPEG of CMYK just within the limit, nearly empty",
        lambda: resized(8_944, 8_944, mode="CMYK"),
        "image",
    ),
    Hostile("progressive JPEG of 100 scans", lambda: many_scans(512, 100), "image"),
    Hostile("progressive JPEG of 4,000 scans", lambda: many_scans(4_096, 4_000), "error", "scans"),
    Hostile(
        "progressive JPEG of 100,000 scans", lambda: many_scans(8_192, 100_000), "error", "scans"
    ),
    Hostile("JPEG with five million segments", lambda: jpeg(segment(0xE7) * 5_000_000), "error"),
    Hostile("JPEG with 2,000 segments", lambda: jpeg(segment(0xE7, b"a" * 9) * 2_000), "image"),
    Hostile("JPEG with 30 MB of padding", lambda: jpeg(b"\xff" * 30_000_000), "error"),
    Hostile(
        "JPEG with 40 MB of comments", lambda: jpeg(segment(0xFE, bytes(60_000)) * 666), "image"
    ),
    Hostile("JPEG with a segment of length 0", lambda: jpeg(segment(0xE5, b"", 0)), "image"),
    Hostile(
        "JPEG with 255 parts of a colour profile",
        lambda: jpeg(
            *(
                segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255]) + bytes(65_000))
                for n in range(1, 256)
            )
        ),
        "image",
    ),
    Hostile(
        "JPEG with parts of a colour profile that disagree",
        lambda: jpeg(*(segment(0xE2, b"ICC_PROFILE\0" + bytes([0, n])) for n in range(255))),
        "image",
    ),
    Hostile("JPEG with a looping EXIF", lambda: jpeg(*exif_segments(looping_exif())), "image"),
    Hostile(
        "JPEG with an EXIF bomb",
        lambda: jpeg(*exif_segments(exif_of(30_000, 5_000_000))),
        "image",
    ),
    Hostile(
        "JPEG with an EXIF bomb in one segment",
        lambda: jpeg(*exif_segments(exif_of(5_000, 64_000))),
        "image",
    ),
    Hostile("JPEG turned 200 times over", lambda: turned(b"Exif\0\0" + turned_exif(200)), "image"),
    Hostile(
        "JPEG whose orientation is a fraction",
        lambda: turned(b"Exif\0\0" + turned_exif(8, kind=5)),
        "image",
    ),
    Hostile(
        "JPEG of four billion orientations",
        lambda: turned(b"Exif\0\0" + turned_exif(6, count=2**32 - 1)),
        "image",
    ),
    Hostile(
        "JPEG turned by XMP", lambda: turned(b"http://ns.adobe.com/xap/1.0/\0" + xmp(6)), "image"
    ),
    Hostile("JPEG of 12 bits", lambda: with_frame(0xC1, bits=12), "error"),
    Hostile("JPEG that says it is lossless", lambda: with_frame(0xC3), "error"),
    Hostile("JPEG that says it is arithmetic", lambda: with_frame(0xC9), "image"),
    Hostile("JPEG of CMYK by Adobe", lambda: adobe(0), "image"),
    Hostile("JPEG of YCCK by Adobe", lambda: adobe(2), "image"),
    Hostile("JPEG whose data is cut", lambda: encoded(picture(96, 96), "JPEG")[:-200], "error"),
    Hostile("JPEG of three pictures", lambda: multi_picture(3), "image"),
    Hostile(
        "JPEG of three pictures, the offsets of which are lost",
        lambda: multi_picture(3).replace(b"MPF\0", b"MPF\0II*\0\xff\xff\xff\xff", 1),
        "image",
    ),
    Hostile("JPEG with two frames", lambda: jpeg(frame(60_000, 1_000)), "error"),
    Hostile(
        "JPEG without tables",
        lambda: (
            b"\xff\xd8"
            + frame(8, 8)
            + segment(0xDA, b"\x03\x01\0\x02\0\x03\0\0\x3f\0")
            + b"\0\0"
            + END
        ),
        "error",
    ),
]
