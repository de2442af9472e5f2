"""What a worker is told to read: images, or their places, as lines of JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rar_agent.errors import ImageError, InputError
from rar_agent.images import AdmittedImage, ImageSource
from rar_agent.images.decode import to_rgb
from rar_agent.memory.readers.identity import file_state
from rar_agent.memory.readers.place import Cell, Packed, Place, Span
from rar_agent.memory.readers.placed import PlaceReader

Sent = ImageSource | AdmittedImage | Place
"""What can be sent."""

_PLACES: Mapping[str, type[Place]] = {"span": Span, "packed": Packed, "cell": Cell}


def written(image: Sent) -> bytes:
    """An image as a line: a path, URL or place as such, what is in memory with its bytes.

    What lies in a file has the file's state by it, so that another file makes another line.

    Raises:
        InputError: It can be read in this process only.
    """
    return json.dumps(_said(image)).encode() + b"\n"


def read_back(lines: Iterable[bytes]) -> Iterator[ImageSource | AdmittedImage | ImageError]:
    """The images of lines, in order; or why one cannot be read."""
    places = PlaceReader()
    for line in lines:
        said = json.loads(line)
        place = _PLACES.get(said["is"])
        if place is None:
            yield _image(said)
            continue
        try:
            yield places.read(place(Path(said["file"]), **said["at"]))
        except ImageError as error:
            yield error


def _said(image: Sent) -> dict[str, Any]:
    if isinstance(image, Path):
        return {"is": "path", "path": str(image), "state": file_state(image)}
    if isinstance(image, str):
        return {"is": "text", "text": image, "state": file_state(Path(image))}
    if isinstance(image, bytes | bytearray | memoryview):
        return {"is": "bytes", "bytes": _text(bytes(image))}
    if isinstance(image, AdmittedImage):
        return {**_pixels(image.rgb), "is": "admitted", "sha256": image.sha256, "name": image.name}
    if isinstance(image, Image.Image):
        return {**_pixels(to_rgb(image)), "is": "picture", "name": getattr(image, "filename", "")}
    if isinstance(image, np.ndarray) and image.dtype != np.uint8:  # no image; objects are pointers
        return {"is": "no pixels", "shape": image.shape, "type": image.dtype.str}
    if isinstance(image, np.ndarray):
        return {**_pixels(image), "is": "pixels"}
    for kind, place in _PLACES.items():
        if isinstance(image, place):
            at = {key: value for key, value in vars(image).items() if key != "file"}
            state = file_state(image.file)
            return {"is": kind, "file": str(image.file), "at": at, "state": state}
    raise InputError(
        f"A {type(image).__name__} can be read in this process only.",
        "Give a path, a URL, bytes, a PIL image or an array; or leave engine='ray' out.",
    )


def _pixels(image: Image.Image | np.ndarray) -> dict[str, Any]:
    array = np.ascontiguousarray(image)
    return {"shape": array.shape, "type": array.dtype.str, "bytes": _text(array.tobytes())}


def _image(said: Mapping[str, Any]) -> ImageSource | AdmittedImage:
    kind = said["is"]
    if kind == "path":
        return Path(said["path"])
    if kind == "text":
        return str(said["text"])
    if kind == "no pixels":  # refused as ever, by its shape and type
        return np.broadcast_to(np.empty((), said["type"]), said["shape"])
    data = base64.b64decode(said["bytes"])
    if kind == "bytes":
        return data
    array = np.frombuffer(data, said["type"]).reshape(said["shape"])
    if kind == "pixels":
        return array
    picture = Image.fromarray(array)
    if kind == "admitted":
        return AdmittedImage(said["sha256"], picture, said["name"])
    picture.filename = said["name"]  # type: ignore[attr-defined]
    return picture


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
