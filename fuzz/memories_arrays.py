"""Mutations of a memory's binary files by one who knows what is in them."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rar_agent.memory.format.manifest import CATEGORY, ENTRY

_INTEGERS = (0, 1, -1, 7, 2**31 - 1, 2**31, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))
_FLOATS = (0.0, -1.0, 2.0, 1e-40, 1e6, 1e20, 3e38, -3e38, np.inf, -np.inf, np.nan)
_WAYS = (
    *("value", "value", "all", "shape", "type", "missing", "more", "header", "compressed"),
    *("object", "order", "empty", "member", "twice", "larger"),
)
_TABLES: dict[str, Any] = {
    "entries": ENTRY,
    "categories": CATEGORY,
    "ids": np.dtype("<i8"),
    "offsets": np.dtype("<i8"),
    "vectors": np.dtype("<f4"),
}


def mutated(kind: str, content: bytes, draw: random.Random) -> tuple[bytes, str]:
    """A file of a kind with something changed that its format allows to say, and what was."""
    if kind == "npz":
        return _npz(content, draw)
    if kind in _TABLES and content:
        return _table(content, _TABLES[kind], draw)
    return damaged(content, draw)


def damaged(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Bytes as a disk, a transfer or chance would leave them."""
    way = draw.choice(
        ["flip", "flip", "flips", "cut", "longer", "zeros", "empty", "noise", "moved"]
    )
    data = bytearray(content)
    place = draw.randrange(max(1, len(data)))
    if way == "flip" and data:
        data[place] ^= 1 << draw.randrange(8)
    elif way == "flips" and data:
        for _ in range(draw.randint(2, 40)):
            data[draw.randrange(len(data))] = draw.randrange(256)
    elif way == "cut":
        del data[place:]
    elif way == "longer":
        data += draw.randbytes(draw.choice([1, 8, 72, 4096]))
    elif way == "zeros":
        size = min(draw.choice([8, 64, 512]), len(data) - place)
        data[place : place + size] = bytes(size)
    elif way == "empty":
        data.clear()
    elif way == "noise":
        data = bytearray(draw.randbytes(len(data)))
    elif way == "moved":
        data = data[place:] + data[:place]
    return bytes(data), way


def _table(content: bytes, dtype: Any, draw: random.Random) -> tuple[bytes, str]:  # noqa: ANN401
    rows = np.frombuffer(content, dtype).copy()
    field = draw.choice(dtype.names) if dtype.names else ""
    column: NDArray[Any] = rows[field] if field else rows
    if column.dtype.kind == "V":
        return damaged(content, draw)
    way = draw.choice(["value", "value", "all", "swap", "reverse", "rows twice"])
    place = draw.randrange(len(rows))
    value = _value(column.dtype, draw)
    if way == "value":
        column[place] = value
    elif way == "all":
        column[:] = value
    elif way == "swap":
        other = draw.randrange(len(rows))
        rows[[place, other]] = rows[[other, place]]
    elif way == "reverse":
        column[:] = column[::-1].copy()
    else:
        rows[place:] = rows[: len(rows) - place].copy()
    return rows.tobytes(), f"{field or 'value'} {way} {value if way in ('value', 'all') else ''}"


def _value(dtype: np.dtype[Any], draw: random.Random) -> Any:  # noqa: ANN401
    if dtype.kind == "f":
        return dtype.type(draw.choice(_FLOATS))
    limits = np.iinfo(dtype)
    return draw.choice([n for n in _INTEGERS if limits.min <= n <= limits.max])


def _npz(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays: dict[str, Any] = {name: file[name] for name in file.files}
    name = draw.choice([*arrays])
    way = draw.choice(_WAYS)
    said, array = f"{name} {way}", arrays[name]
    if way in ("value", "all") and array.size:
        flat = array.astype(array.dtype if array.dtype.kind in "if" else np.float64).ravel()
        value = _value(flat.dtype, draw)
        flat[... if way == "all" else draw.randrange(flat.size)] = value
        arrays[name], said = flat.reshape(array.shape), f"{said} {value}"
    elif way == "shape":
        arrays[name] = draw.choice([array[:-1], array[None], array.ravel(), array.T, np.float64(1)])
    elif way == "type":
        kinds = ["<f2", ">f8", "<f16", "<c8", "<i1", "?", "S3", "U3", "M8[s]", "V8", "<u8"]
        with np.errstate(all="ignore"):
            arrays[name] = array.astype(np.float64).astype(draw.choice(kinds))
    elif way == "missing":
        del arrays[name]
    elif way == "more":
        arrays["more"] = np.zeros(3)
    elif way == "object":
        arrays[name] = np.array([{"an": "object"}], object)
    elif way == "order":
        arrays[name] = np.asfortranarray(array)
    elif way == "empty":
        arrays[name] = array[:0]
    elif way == "larger":
        arrays[name] = np.zeros((1000, *array.shape))
    return _written(arrays, name, way, draw), said


def _written(arrays: dict[str, Any], name: str, way: str, draw: random.Random) -> bytes:
    """An `.npz` file, with what numpy itself would not write where `way` says so."""
    buffer = io.BytesIO()
    mode = zipfile.ZIP_DEFLATED if way == "compressed" else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", mode) as file:
        for key, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.asanyarray(array))
            data = part.getvalue()
            if key == name and way == "header":
                data = header(array, draw)
            elif key == name and way == "member":
                data = draw.choice([b"", b"\x93NUMPY", b"no array", draw.randbytes(200)])
            file.writestr(f"{key}.npy", data)
            if key == name and way == "twice":
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    file.writestr(f"{key}.npy", data)
    return buffer.getvalue()


def header(array: NDArray[Any], draw: random.Random) -> bytes:
    """A `.npy` file whose header says something else than what follows."""
    text = draw.choice(
        [
            "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 8)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000000000000, 0)}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (8,)}",
            "{'descr': [('a', '<f8'), ('b', 'O')], 'fortran_order': False, 'shape': (8,)}",
            "{'descr': '<f8', 'fortran_order': 3, 'shape': (8,)}",
            "{'descr': '<q9', 'fortran_order': False, 'shape': (8,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': 8L}",
            "{'descr': '<f8'}",
            "{",
            "(" * 300 + ")" * 300,
            "-" * 5000 + "1",
            "'''",
            "__import__('os').system('touch x')",
            "\x00\x00",
            "[" * 9000,
        ]
    ).encode("latin-1")
    version = draw.choice([(1, 0), (2, 0), (3, 0), (9, 9)])
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text) + draw.choice([0, 0, 9]))
    return b"\x93NUMPY" + bytes(version) + size + text + array.tobytes()
