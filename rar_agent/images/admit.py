"""From any source to an image that was checked: source → policy → bytes → decoded RGB."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

import numpy as np
from PIL import Image

from rar_agent.errors import ImageError
from rar_agent.images.decode import MAGIC, to_rgb
from rar_agent.images.isolated import decode_under
from rar_agent.images.policy import Policy, printable

ImageSource = str | Path | bytes | BinaryIO | Image.Image | np.ndarray
"""Path, https URL, data URI, base64, bytes, file object, PIL image, (H, W, 3) uint8 array."""

_SHORTEST_BASE64 = 64  # no image of an allowed format is smaller; shorter strings are paths


@dataclass(frozen=True)
class AdmittedImage:
    """An image within the limits, decoded.

    Attributes:
        sha256: Hash of the encoded bytes, or of the pixels where there were none.
        rgb: The first frame, upright, in mode RGB; smaller where less detail was asked for.
        name: How the caller named it, for people; never base64.
        encoded: Its bytes as they came, where they were asked for.
    """

    sha256: str
    rgb: Image.Image
    name: str
    encoded: bytes | None = field(default=None, repr=False)


def admit(
    source: ImageSource,
    policy: Policy | None = None,
    keep_encoded: bool = False,
    detail: int = 0,
) -> AdmittedImage:
    """Read, check and decode one image.

    Args:
        source: See `ImageSource`.
        policy: Whose word the source is, and the limits; default: the caller's own code.
        keep_encoded: Whether to keep its bytes too, for an `ImageStore` with a place.
        detail: See `decode`.

    Raises:
        ImageError: It may not be read, is over a limit, or is no image of an allowed format.
    """
    admitted = admit_unknown(source, policy or Policy(), lambda _: False, keep_encoded, detail)
    assert isinstance(admitted, AdmittedImage)  # noqa: S101 - nothing is known
    return admitted


def admit_unknown(
    source: ImageSource,
    policy: Policy,
    known: Callable[[str], bool],
    keep_encoded: bool = False,
    detail: int = 0,
) -> AdmittedImage | str:
    """Like `admit`, but an image whose bytes are known is not decoded.

    Args:
        source: See `ImageSource`.
        policy: Whose word the source is, and the limits.
        known: Told a sha256, says whether that image is known.
        keep_encoded: Whether to keep its bytes too.
        detail: See `decode`.

    Returns:
        The image, or its sha256 where it is known.

    Raises:
        ImageError: It may not be read, is over a limit, or is no image of an allowed format.
    """
    name = source_name(source)
    if isinstance(source, Image.Image | np.ndarray):
        image = _from_pixels(source, name, policy)
        return image.sha256 if known(image.sha256) else image
    data = _read(source, name, policy)
    sha256 = hashlib.sha256(data).hexdigest()
    if known(sha256):
        return sha256
    rgb = decode_under(data, name, policy, detail)
    return AdmittedImage(sha256, rgb, name, data if keep_encoded else None)


def source_name(source: ImageSource) -> str:
    """A short name of a source for messages and results."""
    if isinstance(source, Path):
        return printable(str(source))
    if isinstance(source, str):
        if source.startswith("data:"):
            return source[:5] + source[5:40].split(",")[0].split(";")[0]
        name = source if len(source) <= 300 else f"{source[:24]}… ({len(source)} characters)"
        return printable(name)
    if isinstance(source, bytes):
        return f"{len(source)} bytes"
    if isinstance(source, np.ndarray):
        return f"array {source.shape}"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "")) or f"PIL image {source.width}x{source.height}"
    return str(getattr(source, "name", "file object"))


def _from_pixels(source: Image.Image | np.ndarray, name: str, policy: Policy) -> AdmittedImage:
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or not source.size:
            raise ImageError(
                f"An array of shape {source.shape} and type {source.dtype} is no image.",
                "Give (height, width, 3) in RGB order and type uint8.",
            )
        image = Image.fromarray(np.ascontiguousarray(source))
    else:
        image = source
    pixels = image.width * image.height
    if pixels > policy.limits.max_pixels:
        raise ImageError(
            f"'{name}' has {pixels:,} pixels; the limit is {policy.limits.max_pixels:,}.",
            "Scale it down, or raise RAR_MAX_PIXELS.",
        )
    try:
        rgb = to_rgb(image)
    except Exception as error:  # of a lazily opened file: whatever Pillow's parsers hit
        raise ImageError(f"'{name}' cannot be decoded: {error}.", "Check the file.") from error
    digest = hashlib.sha256(f"RGB{rgb.size}".encode() + rgb.tobytes()).hexdigest()
    return AdmittedImage(digest, rgb, name)


def _read(source: str | Path | bytes | BinaryIO, name: str, policy: Policy) -> bytes:
    limit = policy.limits.max_bytes
    if isinstance(source, bytes | bytearray | memoryview):
        return _bounded(bytes(source), name, limit)
    if isinstance(source, Path):
        return _read_file(source, name, policy)
    if isinstance(source, str):
        return _read_string(source, name, policy)
    if hasattr(source, "read"):
        data = source.read(limit + 1)
        if not isinstance(data, bytes):
            raise ImageError(f"'{name}' gives text, not bytes.", "Open the file in binary mode.")
        return _bounded(data, name, limit)
    raise ImageError(
        f"A {type(source).__name__} is no image.",
        "Give a path, URL, data URI, base64, bytes, file object, PIL image or uint8 array.",
    )


def _read_string(source: str, name: str, policy: Policy) -> bytes:
    limit = policy.limits.max_bytes
    if source.startswith(("https://", "http://")):
        if policy.fetching is None:
            raise ImageError(
                f"'{name}' was not fetched: fetching URLs is off.",
                "Download it yourself, or set RAR_ALLOW_URLS=1 to allow public https addresses.",
            )
        from rar_agent.images.fetch import fetch  # httpcore loads only where it is used

        return fetch(source, limit, policy.fetching)
    if policy.authority == "model" and (source.startswith("data:") or len(source) > 1024):
        raise ImageError(
            f"Image data typed into an argument ({len(source)} characters) is refused: it does "
            "not survive being copied by a model.",
            "Attach the image and refer to it by its handle, such as image_1.",
        )
    if source.startswith("data:"):
        return _bounded(_data_uri(source, name, limit), name, limit)
    if policy.authority == "caller" and _is_base64_image(source):
        return _bounded(_base64(source, name, limit), name, limit)
    if "\0" in source or len(source) > 4096:
        raise ImageError(f"'{name}' is neither a path nor an image as base64.", "Check it.")
    return _read_file(Path(source), name, policy)


def _is_base64_image(source: str) -> bool:
    if len(source) < _SHORTEST_BASE64:
        return False
    try:
        head = base64.b64decode(source[:_SHORTEST_BASE64], validate=True)
    except (binascii.Error, ValueError):
        return False
    return head.startswith(MAGIC)


def _base64(text: str, name: str, limit: int) -> bytes:
    if len(text) * 3 // 4 > limit + 3:
        raise _too_large(name, len(text) * 3 // 4, limit)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(
            f"'{name}' is not valid base64: {error}.", "It may have been cut; encode it again."
        ) from error


def _data_uri(uri: str, name: str, limit: int) -> bytes:
    head, comma, body = uri.partition(",")
    if not comma:
        raise ImageError(f"'{name}' is a data URI without data.", "Write data:image/png;base64,…")
    return _base64(body, name, limit) if head.endswith(";base64") else unquote_to_bytes(body)


def _read_file(path: Path, name: str, policy: Policy) -> bytes:
    limit = policy.limits.max_bytes
    try:
        with policy.open(path) as file:
            return _bounded(file.read(limit + 1), name, limit)
    except OSError as error:
        raise ImageError(
            f"'{name}' cannot be read: {error.strerror}.", "Check the file."
        ) from error


def _bounded(data: bytes, name: str, limit: int) -> bytes:
    if len(data) > limit:
        raise _too_large(name, len(data), limit)
    if not data:
        raise ImageError(f"'{name}' is empty (0 bytes).", "Check the file.")
    return data


def _too_large(name: str, size: int, limit: int) -> ImageError:
    return ImageError(
        f"'{name}' has {size:,} bytes or more; the limit is {limit:,}.",
        "Scale it down, or raise RAR_MAX_BYTES.",
    )
