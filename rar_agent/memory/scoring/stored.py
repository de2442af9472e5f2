"""A fit on disk: its choices are in the manifest, its arrays in one file."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from rar_agent.errors import DamagedDataError
from rar_agent.memory.format.files import DATA, map_array
from rar_agent.memory.format.location import advice
from rar_agent.memory.format.manifest import FitRecord
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


def read_fit(folder: Path, record: FitRecord, dimension: int) -> tuple[Fit, dict[str, Any]]:
    """A fit as it was stored, and all its arrays.

    Args:
        folder: The memory's.
        record: What its manifest says.
        dimension: Of its vectors.

    Raises:
        DamagedDataError: The file is missing or does not parse, or its arrays do not fit together.
    """
    map_array(folder, record.arrays, np.dtype("u1"), record.arrays.size)  # checks the size
    path = folder / DATA / record.arrays.name
    try:
        with zipfile.ZipFile(path) as file:
            if any(member.compress_type != zipfile.ZIP_STORED for member in file.infolist()):
                raise ValueError("it is compressed")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        _check(arrays, dimension)
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
    except (  # zipfile raises RuntimeError for flags that it does not know
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        RuntimeError,
        MemoryError,
        zipfile.BadZipFile,
    ) as error:
        raise DamagedDataError(f"{path} is damaged: {error}.", advice(folder)) from error
    return fit, arrays


def _check(arrays: dict[str, Any], dimension: int) -> None:
    """Check that arrays are numbers, and fit together."""
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
    for name, shape in wanted.items():
        found = arrays[name]
        if found.shape != shape or found.dtype.kind not in "fib":
            raise ValueError(f"{name} has {found.dtype} of shape {found.shape}; expected {shape}")


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
