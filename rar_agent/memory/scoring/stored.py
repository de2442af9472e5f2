"""A fit on disk: its choices are in the manifest, its arrays in one file."""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rar_agent.memory.format.files import DATA
from rar_agent.memory.format.manifest import MOST_CATEGORIES, FitRecord
from rar_agent.memory.format.opened import damaged, open_regular
from rar_agent.memory.scoring.calibration import Calibration
from rar_agent.memory.scoring.fit import Fit
from rar_agent.memory.scoring.prototypes import Sums
from rar_agent.memory.scoring.temper import Temper

_CALIBRATION = ("confidence", "truth", "right", "familiarity", "likeliest")
_NUMBERS = (
    "outside",
    "ratio",
    "shrinkage",
    "sharpness",
    "image_scale",
    "text_weight",
    "text_alone",
)
_TEMPER = ("sharp", "flat", "share")
_KNOWN = ("origin", "basis", "precision", *_CALIBRATION, "ids", "counts", "sums")
_HUGE = 1e15  # beyond any that is fitted to unit vectors; products of a few are numbers still
_SHARE = (0.0, 1.0 + 1e-6)
_RANGES: Mapping[str, tuple[float, float]] = {
    "precision": (0.0, _HUGE),
    "counts": (-0.5, _HUGE),
    "ids": (0, MOST_CATEGORIES),
    "confidence": _SHARE,
    "truth": _SHARE,
    "likeliest": _SHARE,
    "familiarity": (-1.01, 1.01),
    "basis": (-1.01, 1.01),
    "origin": (-1.01, 1.01),
}


def read_fit(folder: Path, record: FitRecord, dimension: int) -> tuple[Fit, dict[str, Any]]:
    """A fit as it was stored, and all its arrays.

    Args:
        folder: The memory's.
        record: What its manifest says.
        dimension: Of its vectors.

    Raises:
        DamagedDataError: The file is missing or does not parse, or its arrays do not fit together.
    """
    name = f"{DATA}/{record.arrays.name}"
    try:
        with open_regular(folder / name) as file:
            arrays = _arrays(file, record.arrays.size)
        _check(arrays, dimension)
        if record.calibrated and len(arrays["confidence"]) != record.left_out:
            raise ValueError(
                f"it has {len(arrays['confidence'])} answers, and {record.left_out} were calibrated"
            )
    except Exception as error:  # zipfile and numpy raise some ten kinds
        raise damaged(folder, name, error) from error
    calibration = None
    if len(arrays["confidence"]):
        calibration = Calibration(**{name: arrays[name] for name in _CALIBRATION})
    numbers = record.parameters
    fit = Fit(
        rule=record.rule,
        method=record.method,
        feature_map=record.feature_map,
        origin=arrays["origin"],
        basis=arrays["basis"],
        precision=arrays["precision"],
        temper=Temper(**{name: numbers[name] for name in _TEMPER}),
        calibrated=record.calibrated,
        calibration=calibration,
        left_out=record.left_out,
        top1=record.top1,
        ece=record.ece,
        compared=record.compared,
        **{name: numbers[name] for name in _NUMBERS},
    )
    return fit, arrays


def _arrays(file: BinaryIO, size: int) -> dict[str, Any]:
    """The arrays of an `.npz` file: those that are known, none larger than the file."""
    found = os.fstat(file.fileno()).st_size
    if found != size:
        raise ValueError(f"it has {found} bytes; {size} were written")
    with zipfile.ZipFile(file) as members:
        infos = members.infolist()
        names = [info.filename for info in infos]
        if len(set(names)) < len(names) or not {*names} <= {f"{name}.npy" for name in _KNOWN}:
            raise ValueError(f"it has the arrays {', '.join(names[:20])}")
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
            raise ValueError("it is compressed")
        if sum(info.file_size for info in infos) > size:
            raise ValueError("its arrays are longer than it is")
        return {name[:-4]: _array(members, name) for name in names}


def _array(members: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with members.open(name) as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{name} has the version {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        wanted = dtype.itemsize * math.prod(shape)
        if dtype.kind not in "fib" or dtype.itemsize > 8:
            raise ValueError(f"{name} has {dtype}")
        if min(shape, default=0) < 0 or wanted != members.getinfo(name).file_size - member.tell():
            raise ValueError(f"{name} is not as long as its shape {shape} says")
    with members.open(name) as member:
        found: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return found


def _check(arrays: dict[str, Any], dimension: int) -> None:
    """Check that arrays are numbers, within their ranges, and fit together."""
    axes, answers = arrays["precision"].shape[:1], arrays["confidence"].shape[:1]
    wanted = {"origin": (dimension,), "precision": axes, "basis": (dimension, *axes)}
    wanted |= dict.fromkeys(_CALIBRATION, answers)
    if answers != (0,):
        wanted["likeliest"] = (*answers, *arrays["likeliest"].shape[-1:])
        if arrays["likeliest"].ndim != 2 or arrays["right"].dtype.kind != "b":
            raise ValueError("likeliest has to be a table, and right yes or no")
    if "sums" in arrays:
        known = arrays["ids"].shape[:1]
        wanted |= {"ids": known, "counts": known, "sums": (*known, dimension)}
        if arrays["ids"].dtype.kind != "i" or (np.diff(arrays["ids"]) <= 0).any():
            raise ValueError("ids have to be whole numbers that ascend")
    for name, shape in wanted.items():
        found = arrays[name]
        if found.shape != shape or (found.dtype.kind == "b" and name != "right"):
            raise ValueError(f"{name} has {found.dtype} of shape {found.shape}; expected {shape}")
        low, high = _RANGES.get(name, (-_HUGE, _HUGE))
        if found.size and not (low <= found.min() and found.max() <= high):  # no number is neither
            raise ValueError(f"{name} is not all {low:g} to {high:g}")


def fit_arrays(fit: Fit, sums: Sums | None) -> bytes:
    """A fit's arrays as one `.npz` file."""
    arrays: dict[str, Any] = {
        "origin": fit.origin,
        "basis": fit.basis.astype(np.float32),
        "precision": fit.precision,
    }
    for name in _CALIBRATION:
        arrays[name] = getattr(fit.calibration, name) if fit.calibration else np.empty(0)
    if sums is not None:
        arrays["ids"], arrays["counts"] = sums.ids, sums.counts
        arrays["sums"] = sums.sums.astype(np.float32)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def parameters_of(fit: Fit) -> dict[str, float]:
    """The numbers that a manifest records by name."""
    numbers = {name: float(getattr(fit, name)) for name in _NUMBERS}
    return numbers | {name: float(getattr(fit.temper, name)) for name in _TEMPER}
