"""The one decode path: bytes → header checked → first frame, upright, RGB."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from rar_agent.errors import ImageError
from rar_agent.images.bounded import BoundedReader
from rar_agent.images.policy import Limits

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Pillow's names of the formats that are opened; everything else is refused unparsed."""

MAGIC = (
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"RIFF",
    b"GIF8",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
)
"""First bytes of those formats."""

REDUCED = 2
"""How much longer than wanted the sides of a JPEG stay that is decoded at a reduced scale."""

_ORIENTATION = 274  # EXIF tag
_EXIF = re.compile(rb"(\xff\xe1..)Exif\0\0", re.DOTALL)  # start of a segment
_LONGEST_EXIF = 65_536
_TILE_WIDTH, _TILE_HEIGHT = 322, 323  # TIFF tags
_SCANS, _SEGMENTS = 200, 10_000  # of a JPEG; encoders make some 10 and 100
_MARKER = re.compile(rb"\xff+([\x02-\xcf\xd8-\xfe])")  # but those that stand alone


def decode(data: bytes, name: str, limits: Limits, detail: int = 0) -> Image.Image:
    """Decode an encoded image.

    Args:
        data: The whole file.
        name: For messages.
        limits: Pixels and frames are checked from the header, before decoding.
        detail: Pixels of the shorter side that are wanted, at least; a JPEG of `REDUCED` times as
            many or more is decoded at 1/2, 1/4 or 1/8 of its size. 0: all.

    Returns:
        First frame, EXIF orientation applied, alpha on white, mode RGB.

    Raises:
        ImageError: Not an allowed format, over a limit, truncated or damaged.
    """
    try:
        with Image.open(BoundedReader(_one_exif(data), name), formats=FORMATS) as image:
            _check_header(image, name, limits)
            _check_scans(data, name)
            if detail and image.format == "JPEG":
                # each side stays as long; sizes that are not halves of these are not touched
                image.draft(None, (REDUCED * detail, REDUCED * detail))
            return to_rgb(image, own=True)
    except UnidentifiedImageError as error:
        raise ImageError(
            f"'{name}' is not an image of an allowed format ({', '.join(FORMATS)}).",
            "Convert it to one of them.",
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"'{name}' has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, the most that "
            f"is ever opened; the limit is {limits.max_pixels:,}.",
            "Scale it down.",
        ) from error
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(
            f"'{name}' takes more memory than there is to decode it.", "Scale it down."
        ) from error
    except Exception as error:  # Pillow's plugins raise whatever their parsers hit
        raise ImageError(
            f"'{name}' is damaged or truncated: {type(error).__name__}: {error}.",
            "Get the file again.",
        ) from error


def _one_exif(data: bytes) -> bytes:
    """A JPEG without its EXIF segments but the first, to which Pillow would append them.

    A directory may name the same bytes for each of its tags, and Pillow 12 copies them: memory
    grows with the square of what EXIF there is.
    """
    if not data.startswith(MAGIC[0]) or data.count(b"Exif\0\0") < 2:
        return data
    first = _EXIF.search(data)
    rest = first.end() if first else len(data)
    return data[:rest] + _EXIF.sub(rb"\1exif\0\0", data[rest:])


def _cut_exif(image: Image.Image) -> None:
    """Leave as much of an image's EXIF as a segment of JPEG has; who turns an image says so there.

    See `_one_exif`.
    """
    for kind, longest in (("exif", _LONGEST_EXIF), ("Raw profile type exif", 2 * _LONGEST_EXIF)):
        if len(image.info.get(kind, b"")) > longest:
            image.info[kind] = image.info[kind][:longest]


def _check_header(image: Image.Image, name: str, limits: Limits) -> None:
    for width, height in (image.size, _tile(image)):
        if (pixels := width * height) > limits.max_pixels:
            raise ImageError(
                f"'{name}' has {width}x{height} = {pixels:,} pixels; the limit is "
                f"{limits.max_pixels:,}.",
                "Scale it down, or raise RAR_MAX_PIXELS.",
            )
    if _has_more_frames(image, limits.max_frames):
        raise ImageError(
            f"'{name}' has more than {limits.max_frames:,} frames.",
            "Save the frame you mean as an image, or raise RAR_MAX_FRAMES.",
        )
    image.seek(0)  # counting frames may have moved


def _tile(image: Image.Image) -> tuple[int, int]:
    """Width and height of a TIFF's tiles, which are decoded whole however small the image is."""
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    return int(tags.get(_TILE_WIDTH, 0)), int(tags.get(_TILE_HEIGHT, 0))


def _check_scans(data: bytes, name: str) -> None:
    """Refuse a JPEG of more scans than anybody makes; each may cost a walk over all its pixels."""
    if not data.startswith(MAGIC[0]) or data.count(b"\xff\xda") <= _SCANS:
        return
    at, scans, segments = 2, 0, 0
    while (marker := _MARKER.search(data, at)) and marker[1] != b"\xd9":
        scans, segments = scans + (marker[1] == b"\xda"), segments + 1
        if scans > _SCANS or segments > _SEGMENTS:
            raise ImageError(
                f"'{name}' has more than {_SCANS} scans or {_SEGMENTS:,} segments.",
                "Save it anew as a plain JPEG.",
            )
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])


def _has_more_frames(image: Image.Image, limit: int) -> bool:
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1) > limit
    try:
        image.seek(limit)  # n_frames would walk all directories there are, however many
    except EOFError:
        return False
    return True


def to_rgb(image: Image.Image, own: bool = False) -> Image.Image:
    """Upright RGB copy of an image in any of Pillow's modes.

    Alpha is composed on white. 16-bit grey keeps its high byte; 32-bit integer and float
    images, which define no white, are scaled from their own range.

    Args:
        image: Which.
        own: Whether nobody else has it, so that where nothing is to change it is no copy.
    """
    image = _upright(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        image = Image.fromarray(_own_range(np.asarray(image)))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    if image.mode != "RGB":
        return image.convert("RGB")
    if not own:
        return image.copy()
    image.load()
    return image


def _own_range(values: np.ndarray) -> np.ndarray:
    """Numbers scaled to 0 to 255, some rows at a time: they take 8 bytes each."""
    rows = [slice(top, top + 256) for top in range(0, len(values), 256)]
    low = min(float(_finite(values[part]).min()) for part in rows)
    high = max(float(_finite(values[part]).max()) for part in rows)
    scale = 255.0 / (high - low) if high > low else 0.0
    scaled = np.empty(values.shape, np.uint8)
    for part in rows:
        scaled[part] = ((_finite(values[part]) - low) * scale).round()
    return scaled


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64), copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def _upright(image: Image.Image) -> Image.Image:
    if image.format == "PNG":
        image.load()  # it may have EXIF after its pixels
    _cut_exif(image)
    try:
        turned = image.getexif().get(_ORIENTATION, 1) != 1
    except Exception:  # malformed EXIF is no reason to refuse the pixels
        return image
    return ImageOps.exif_transpose(image) if turned else image
