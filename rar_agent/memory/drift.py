"""How far encoders of lower precision are from a memory's own: measured, recorded, required."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import Fingerprint, FloatArray
from rar_agent.encoders.engines.kept import clear_drafts
from rar_agent.encoders.tuning import Agreement, Way
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.memory.format.drift_record import DriftRecord
from rar_agent.memory.format.files import DATA, cannot_write
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.format.opened import damaged
from rar_agent.memory.format.origin import called, origin_of
from rar_agent.memory.memory import Memory
from rar_agent.memory.rankers import is_current
from rar_agent.memory.teaching.draft import Draft
from rar_agent.memory.teaching.forget import remove_from_memory
from rar_agent.memory.teaching.teach import changing
from rar_agent.settings import MOST_CANDIDATES

HELD_OUT = 400
"""Exemplars that are held out to compare answers on, at most."""
_SHARE = 4  # one exemplar of four is held out, and at least one where there are two


def agreement(
    memory: Memory, reference: tuple[FloatArray, FloatArray], other: tuple[FloatArray, FloatArray]
) -> Agreement:
    """How far a memory answers two encodings of the same images alike.

    Args:
        memory: Does not hold the images, or it would be flattered.
        reference: (n, d) unit rows and their (n,) lengths, as the memory's own encoder has them.
        other: The same images, encoded in another way.
    """
    from scipy.stats import binomtest

    first = memory.search(*reference, k=1, exemplars=0)
    second = memory.search(*other, k=MOST_CANDIDATES, exemplars=0)
    same, largest = 0, 0.0
    for one, two in zip(first, second, strict=True):
        best = one.candidates[0]
        same += two.candidates[0].category.name == best.category.name
        found = {c.category.name: c.probability for c in two.candidates}
        largest = max(largest, abs(best.probability - found.get(best.category.name, 0.0)))
    sure = binomtest(same, len(first)).proportion_ci(method="wilson")
    return Agreement(
        images=len(first), same=same, low=sure.low, high=sure.high, difference=min(1.0, largest)
    )


def to_hold_out(memory: Memory, seed: int = 0) -> NDArray[np.int64]:
    """Rows of exemplars that can be held out: a quarter of each category's, 400 in all at most.

    None of a category that has only one.
    """
    random, found = np.random.default_rng(seed), []
    for column in np.flatnonzero(memory.entries.counts("image") >= 2):
        rows = memory.entries.rows_of("image", np.array([column]))
        found.append(random.permutation(rows)[: max(1, len(rows) // _SHARE)])
    if not found:
        return np.empty(0, np.int64)
    drawn = random.permutation(np.concatenate(found))[:HELD_OUT]
    return np.sort(drawn).astype(np.int64)


@contextmanager
def without(memory: Memory, rows: NDArray[np.int64]) -> Iterator[Memory]:
    """A memory as it would be had it not learnt some exemplars, its scoring chosen without them.

    A copy beside the home folder's memories, which goes afterwards; its files are links.

    Args:
        memory: Stays as it is.
        rows: Of exemplars, not all of a category.

    Raises:
        BusyError: Somebody else is writing to it, and might remove files that are being copied.
        NotFoundError: One of the exemplars was removed since the memory was opened.
        InputError: It is kept elsewhere.
        ConfigurationError: The copy cannot be written.
        DamagedDataError: One of its files cannot be read.
    """
    if origin_of(memory.folder) is not None:
        raise InputError(
            f"What precisions cost cannot be measured on '{called(memory.folder)}'.",
            "Bring it to this machine with rar-agent memory migrate, measure, and bring it back.",
        )
    clear_drafts(memory.folder.parent, ".drift-")
    beside = memory.folder.parent
    with _written(beside):
        place = TemporaryDirectory(dir=beside, prefix=".drift-")
    with place:
        home = Path(place.name)
        folder = memory_folder(home, memory.name)
        with writer_lock(memory.folder), _written(folder):
            shutil.copytree(memory.folder, folder, copy_function=_link, ignore=_drafts)
        ids = [memory.entries.id_of(int(row)) for row in rows]
        yield remove_from_memory(home, memory.name, (), ids, "always")


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def _link(source: str, target: str) -> None:
    if Path(source).parent.name == DATA:
        with suppress(OSError):  # not on this file system
            os.link(source, target)
            return
    path = Path(source)
    try:
        file = path.open("rb")
    except OSError as error:
        raise damaged(path.parent, path.name, error) from error
    with file, _written(Path(target)), Path(target).open("wb") as to:
        shutil.copyfileobj(file, to)


def _drafts(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name.endswith((".tmp", ".lock")) or name == "writer.json"}


def recorded(memory: Memory) -> frozenset[Way]:
    """Ways to run its encoder whose drift is on record, and holds: at most a tenth changed."""
    found = (record for record in memory.manifest.drifts if is_current(memory, record))
    return frozenset(Way(record.precision, record.engine, record.device) for record in found)


def require_recorded(memory: Memory, encoder: Fingerprint) -> None:
    """Refuse an encoder of the memory's identity in int8, unless it is known what that costs.

    Raises:
        ConfigurationError: Its drift was not measured for this memory.
    """
    precision = encoder.precision
    if not precision.startswith("int8") or precision == memory.manifest.encoder.precision:
        return
    # Int8 runs on the CPU alone, so the device is the same.
    if (precision, encoder.engine) not in {(way.precision, way.engine) for way in recorded(memory)}:
        raise ConfigurationError(
            f"What the precision {precision} costs was not measured for memory '{memory.name}', "
            f"which was made in {memory.manifest.encoder.precision}.",
            f"Run: rar-agent tune --memory {memory.name} --allow int8; or set RAR_PRECISION=fp32.",
        )


def keep_drifts(home: Path, name: str, records: Sequence[DriftRecord]) -> Memory:
    """Write what was found as a new generation.

    It takes the place of what was known of the same classes on the same devices.

    Raises:
        NotFoundError: There is no such memory.
        InputError: It is a ready memory.
        BusyError: Somebody else is writing to it.
    """
    with changing(memory_folder(home, name)) as memory:
        draft = Draft.after(memory)
        anew = {(record.precision_class, record.device) for record in records}
        others = [r for r in memory.manifest.drifts if (r.precision_class, r.device) not in anew]
        draft.drifts = (*others, *records)
        return draft.commit("ready", "never")
