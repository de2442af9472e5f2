"""Fitting a memory: from its entries to what the manifest says of the fit; when it is stale."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import FloatArray
from rar_agent.memory.format.files import write_file
from rar_agent.memory.format.manifest import FitRecord
from rar_agent.memory.memory import Memory
from rar_agent.memory.scoring.features import map_features
from rar_agent.memory.scoring.fit import Fit, TextLogits, fit_exemplars
from rar_agent.memory.scoring.prototypes import Sums, current_sums
from rar_agent.memory.scoring.stored import fit_arrays, parameters_of
from rar_agent.memory.search import ALL_SCORED

SMALL = 500
"""Up to this many exemplars every change chooses the scoring anew; it takes a moment."""
MOST_CATEGORIES = 20_000
"""Categories that are fitted on at most, sampled by a fixed seed."""


class MemoryExemplars:
    """A memory's exemplars, mapped as they are read."""

    def __init__(self, memory: Memory, feature_map: Literal["identity", "root"]) -> None:
        rows = memory.entries.rows("image")
        columns = memory.entries.columns[rows]
        present = np.unique(columns)
        self.sampled = len(present) > MOST_CATEGORIES
        if self.sampled:
            random = np.random.default_rng(0)
            present = np.sort(random.choice(present, MOST_CATEGORIES, replace=False))
            rows = rows[np.isin(columns, present)]
            columns = memory.entries.columns[rows]
        self._entries, self._map = memory.entries, feature_map
        self.rows = rows
        self.columns: NDArray[np.int64] = present.astype(np.int64)
        self.labels: NDArray[np.int64] = np.searchsorted(present, columns).astype(np.int64)
        self.dimension = memory.manifest.dimension

    def take(self, rows: NDArray[np.int64]) -> FloatArray:
        """(m, d) mapped vectors of some of them."""
        return map_features(self._entries.vectors(self.rows[rows]), self._map)


def fit_memory(memory: Memory) -> FitRecord | None:
    """Choose how a memory's categories are scored, and write it; None without exemplars."""
    if "image" not in memory.entries.modalities or not len(memory.entries.rows("image")):
        return None
    feature_map: Literal["identity", "root"] = "root" if _never_negative(memory) else "identity"
    exemplars = MemoryExemplars(memory, feature_map)
    fit = fit_exemplars(exemplars, feature_map, text_logits(memory, exemplars))
    if exemplars.sampled:  # fewer rivals than an image has: nothing of it is a promise
        fit = replace(fit, calibrated=False, calibration=None)
    return _record(memory, fit, _all_sums(memory, fit))


def is_stale(memory: Memory, small: int = SMALL) -> bool:
    """Whether the scoring is to be chosen anew.

    Args:
        memory: As it is now.
        small: Up to this many exemplars it is after every change.
    """
    fit = memory.manifest.fit
    count = memory.image_count
    if fit is None or not count:
        return bool(count) or fit is not None
    return count <= small or memory.stale


def with_current_sums(memory: Memory) -> FitRecord | None:
    """The fit's record with the sums as they are now, so that removed entries may go."""
    record, fit = memory.manifest.fit, memory.fit
    if record is None or fit is None:
        return None
    again = _record(memory, fit, memory.sums() if memory.keeps_sums else None)
    return again.model_copy(
        update={
            "entries": record.entries,
            "changed_before": memory.changed,
            "compared": record.compared,
        }
    )


def _record(memory: Memory, fit: Fit, sums: Sums | None) -> FitRecord:
    removed = memory.entries.removed
    ids = removed.astype("<i8").tobytes()
    return FitRecord(
        rule=fit.rule,
        method=fit.method,
        feature_map=fit.feature_map,
        parameters=parameters_of(fit),
        compared=fit.compared,
        calibrated=fit.calibrated,
        left_out=fit.left_out,
        top1=fit.top1,
        ece=fit.ece,
        entries=memory.image_count,
        next_entry=memory.manifest.next_entry,
        removed=write_file(memory.folder, ids, "ids") if len(removed) else None,
        arrays=write_file(memory.folder, fit_arrays(fit, sums), "npz"),
    )


def _all_sums(memory: Memory, fit: Fit) -> Sums | None:
    """Sums of all categories; None where there are so many that only some are scored."""
    if len(memory.categories) > ALL_SCORED:
        return None
    none = np.empty(0, np.int64)
    return current_sums(memory.entries, memory.categories, fit.feature_map, None, 0, none)


def text_logits(memory: Memory, exemplars: MemoryExemplars) -> TextLogits | None:
    """Text logits of exemplars; None unless every fitted category has a text."""
    if not memory.scorer.has_text[exemplars.columns].all():
        return None
    return lambda rows: memory.scorer.text_logits(
        memory.entries.vectors(exemplars.rows[rows]), exemplars.columns
    )


def _never_negative(memory: Memory) -> bool:
    rows = memory.entries.rows("image")
    return all(
        bool((memory.entries.vectors(part) >= 0).all())
        for part in np.array_split(rows, max(1, len(rows) // 16_384))
    )
