"""What arrives without ill will: cut, empty, misnamed, of unusual modes, or two things at once."""

from __future__ import annotations

import io
import zipfile

from PIL import Image

from tests.images.hostile import Hostile, encoded, picture

KINDS = ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")
MODES = {
    "1 bit": ("1", ("PNG", "TIFF", "BMP", "GIF")),
    "grey": ("L", KINDS),
    "grey with alpha": ("LA", ("PNG", "TIFF")),
    "palette": ("P", ("PNG", "GIF", "TIFF", "BMP")),
    "alpha": ("RGBA", ("PNG", "WEBP", "TIFF")),
    "16 bits": ("I;16", ("PNG", "TIFF")),
    "32 bits": ("I", ("TIFF",)),
    "fractions": ("F", ("TIFF",)),
    "CMYK": ("CMYK", ("JPEG", "TIFF")),
    "Lab": ("LAB", ("TIFF",)),
    "YCbCr": ("YCbCr", ("JPEG", "TIFF")),
}


def in_mode(mode: str, kind: str) -> bytes:
    """A file of an image of this mode."""
    if mode == "I;16":
        return encoded(picture(mode="L").convert("I").point(lambda v: v * 257).convert(mode), kind)
    if mode == "LAB":
        return encoded(Image.new("LAB", (24, 16), (150, 20, 30)), kind)
    return encoded(picture(mode=mode), kind)


def seen_through() -> bytes:
    """A palette with transparency for each colour."""
    image = picture(mode="P")
    image.info["transparency"] = bytes(range(256))
    return encoded(image, "PNG")


def turned(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return encoded(picture(), kind, exif=exif)


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("a.txt", "a" * 999)
    return out.getvalue()


PAGE = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
SVG = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><svg>&b;</svg>'

FILES = [
    Hostile("nothing", lambda: b"", "error"),
    Hostile("one byte", lambda: b"\xff", "error"),
    Hostile("a page named .jpg", lambda: PAGE, "error", "allowed format"),
    Hostile("an SVG that names a file", lambda: SVG, "error", "allowed format"),
    Hostile("PostScript", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "error"),
    Hostile("a zip", archive, "error"),
    Hostile("an ICO with a PNG", lambda: encoded(picture(16, 16), "ICO"), "error"),
    Hostile("a PNM", lambda: encoded(picture(), "PPM"), "error"),
    *(
        Hostile(
            f"{kind} of the first {size} bytes",
            lambda k=kind, n=size: encoded(picture(), k)[:n],
            "error",
        )
        for kind in KINDS
        for size in (4, 12, 30)
    ),
    *(
        Hostile(f"{kind}, {what}", lambda m=mode, k=kind: in_mode(m, k), "image")
        for what, (mode, kinds) in MODES.items()
        for kind in kinds
    ),
    Hostile("PNG, palette with transparency", seen_through, "image"),
    *(
        Hostile(f"{kind}, orientation {n}", lambda k=kind, n=n: turned(k, n), "image")
        for kind in ("JPEG", "PNG", "WEBP", "TIFF")
        for n in range(10)
    ),
    *(
        Hostile(
            f"{kind} and a zip at once", lambda k=kind: encoded(picture(), k) + archive(), "image"
        )
        for kind in KINDS
    ),
    *(
        Hostile(f"{kind} and a page at once", lambda k=kind: encoded(picture(), k) + PAGE, "image")
        for kind in KINDS
    ),
    Hostile("a page and a PNG at once", lambda: PAGE + encoded(picture(), "PNG"), "error"),
    Hostile("GIF that is a script", lambda: b"GIF89a/*" + b"*/=alert(1);" * 9, "error"),
]
