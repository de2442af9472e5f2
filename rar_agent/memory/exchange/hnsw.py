"""The vectors of a foreign `IndexHNSWFlat` file; FAISS parses it within limits from its size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rar_agent.encoders import FloatArray
from rar_agent.errors import DamagedDataError, InputError
from rar_agent.images.policy import printable
from rar_agent.memory.index.limits import read_index
from rar_agent.memory.index.untyped import FaissObject, faiss

_TYPE = "IndexHNSWFlat"
_STORAGES = ("IndexFlatIP", "IndexFlat")
_FIX = "Give the .index file that the reference code wrote: an IndexHNSWFlat of inner products."


def read_vectors(path: Path, dimension: int | None) -> FloatArray:
    """All vectors of an index file.

    Args:
        path: The file.
        dimension: What the vectors' length has to be; None for any.

    Returns:
        (n, d) float32, as they are stored: perhaps not finite, not of length 1.

    Raises:
        InputError: There is no such file, or it is of another kind, metric or dimension, or empty.
        DamagedDataError: It cannot be parsed, or its parts do not fit together.
    """
    if not path.is_file():
        raise InputError(f"'{printable(str(path))}' is no file.", _FIX)
    index = read_index(path, 0, _FIX)
    found = {"type": type(index).__name__, "metric": int(index.metric_type), "d": int(index.d)}
    wanted = {"type": _TYPE, "metric": int(faiss.METRIC_INNER_PRODUCT), "d": dimension or index.d}
    wrong = [
        f"{key} {found[key]}, not {wanted[key]}" for key in wanted if found[key] != wanted[key]
    ]
    if wrong:
        raise InputError(f"'{printable(str(path))}' has {'; '.join(wrong)}.", _FIX)
    count, width = int(index.ntotal), int(index.d)
    if not count:
        raise InputError(f"'{printable(str(path))}' has no vectors.", _FIX)
    storage: FaissObject = (
        faiss.downcast_index(index.storage) if index.storage is not None else None
    )
    kind = type(storage).__name__
    shape = (int(storage.ntotal), int(storage.d)) if kind in _STORAGES else (-1, -1)
    if shape != (count, width) or int(storage.codes.size()) != 4 * count * width:
        raise DamagedDataError(
            f"'{printable(str(path))}' says that it has {count} vectors of {width} numbers, but "
            f"keeps them as {kind} of shape {shape}.",
            _FIX,
        )
    vectors = faiss.vector_to_array(storage.codes).view("<f4").reshape(count, width)
    return np.array(vectors, np.float32)
