"""A generation in the making, held by the one writer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import rar_agent
from rar_agent.encoders import FloatArray
from rar_agent.memory.format.categories import Categories, require_readable, write_layer
from rar_agent.memory.format.drift_record import DriftRecord
from rar_agent.memory.format.files import write_file
from rar_agent.memory.format.generation import commit
from rar_agent.memory.format.manifest import (
    EncoderRecord,
    FitRecord,
    LayerRef,
    Manifest,
    PriorRecord,
    RankerRecord,
    SegmentRef,
)
from rar_agent.memory.format.segment import NewEntry, write_segment
from rar_agent.memory.memory import Memory
from rar_agent.memory.open import open_generation
from rar_agent.memory.scoring.record import fit_memory, is_stale
from rar_agent.memory.teaching.merge import merge_small, merge_small_layers
from rar_agent.types import Category, Modality

Fitting = Literal["auto", "always", "never"]
"""Whether a change chooses the scoring anew: `auto` does where the old choice is stale. The first
exemplars are scored by what is chosen then, whatever was asked for."""

_NO_IDS = np.empty(0, np.int64)


@dataclass
class Draft:
    """What the next generation will hold; nothing is valid before `commit`.

    Attributes:
        folder: The memory's folder, whose lock the caller holds.
        encoder: The encoder of all its vectors.
        dimension: Length of a vector.
        domain: What kind of categories these are.
        fixed: Whether it may not be taught.
        thumbnails: Longer side of the pictures it keeps, in pixels; 0 for none.
        build: Hash of what a creation learns.
        generation: The last committed generation; 0 if there is none.
        segments: Written segments, the old ones first.
        layers: Written layers of categories, the old ones first.
        removed: (r,) ids of removed entries, ascending.
        next_category: Next free category id; ids are never used twice.
        next_entry: Next free entry id; likewise.
        fit: How categories are scored so far.
        rankers: Ranking models that were calibrated beside it.
        prior: How often categories are met; None: equally often.
        drifts: What encoding in lower precisions was found to cost.
        committed: State of the generation that this draft committed last; empty before.
    """

    folder: Path
    encoder: EncoderRecord
    dimension: int
    domain: str = ""
    fixed: bool = False
    thumbnails: int = 0
    build: str = ""
    generation: int = 0
    segments: list[SegmentRef] = field(default_factory=list)
    layers: list[LayerRef] = field(default_factory=list)
    removed: NDArray[np.int64] = field(default_factory=lambda: _NO_IDS)
    next_category: int = 0
    next_entry: int = 0
    fit: FitRecord | None = None
    rankers: tuple[RankerRecord, ...] = ()
    prior: PriorRecord | None = None
    drifts: tuple[DriftRecord, ...] = ()
    committed: str = ""
    _base: Categories | None = None
    _changed: dict[int, Category | None] = field(default_factory=dict)
    _names: dict[str, int] = field(default_factory=dict)

    @classmethod
    def after(cls, memory: Memory) -> Draft:
        """The draft of the generation that follows an opened one."""
        manifest = memory.manifest
        return cls(
            folder=memory.folder,
            encoder=manifest.encoder,
            dimension=manifest.dimension,
            domain=manifest.domain,
            fixed=manifest.fixed,
            thumbnails=manifest.thumbnails,
            build=manifest.build,
            generation=manifest.generation,
            segments=list(manifest.segments),
            layers=list(manifest.layers),
            removed=memory.entries.removed,
            next_category=manifest.next_category,
            next_entry=manifest.next_entry,
            fit=manifest.fit,
            rankers=manifest.rankers,
            prior=manifest.prior,
            drifts=manifest.drifts,
            _base=memory.categories,
        )

    def find(self, name: str) -> int | None:
        """Id of the category of a name, or None."""
        if name in self._names:
            return self._names[name]
        column = self._base.find(name) if self._base else None
        if column is None or self._base is None:
            return None
        number = int(self._base.ids[column])
        return None if number in self._changed else number

    def category(self, number: int) -> Category | None:
        """The category of an id, as it will be; None where it is not there."""
        if number in self._changed or self._base is None:
            return self._changed.get(number)
        column = int(self._base.columns(np.array([number]))[0])
        return self._base[column] if column >= 0 else None

    def numbers(self) -> set[int]:
        """Ids of all categories, as they will be."""
        found = {int(number) for number in self._base.ids} if self._base else set()
        found |= {number for number, category in self._changed.items() if category}
        return found - {number for number, category in self._changed.items() if not category}

    def put(self, category: Category, number: int | None = None) -> int:
        """Add a category, or replace the one of an id; returns the id.

        Raises:
            InputError: Its metadata could not be read again.
        """
        require_readable(category)
        if number is None:
            number = self.next_category
            self.next_category += 1
        self._forget_name(number)
        self._changed[number] = category
        self._names[category.name] = number
        return number

    def forget(self, number: int) -> None:
        """Remove a category; its entries have to be removed too."""
        self._forget_name(number)
        self._changed[number] = None

    def _forget_name(self, number: int) -> None:
        old = self._changed.get(number)
        if old is not None and self._names.get(old.name) == number:
            del self._names[old.name]

    def add_segment(
        self, modality: Modality, entries: Sequence[NewEntry], vectors: FloatArray
    ) -> None:
        """Write new entries and their (n, d) unit vectors."""
        if not len(entries):
            return
        ref = write_segment(self.folder, self.next_entry, modality, entries, vectors)
        self.segments.append(ref)
        self.next_entry += len(entries)

    def remove(self, entries: Iterable[int]) -> None:
        """Remove entries by id."""
        more = np.fromiter(entries, np.int64)
        self.removed = np.union1d(self.removed, more).astype(np.int64)

    def commit(self, state: Literal["building", "ready"], fitting: Fitting = "auto") -> Memory:
        """Choose the scoring if it is time, write the manifest and switch to it."""
        if layer := write_layer(self.folder, sorted(self._changed.items())):
            self.layers.append(layer)
        self.segments = merge_small(self.folder, self.segments, self.dimension)
        self.layers = merge_small_layers(self.folder, self.layers)
        opened = open_generation(self.folder, self._manifest(state))
        records = len(opened.categories)
        # A building memory has nearly as many, and would read all its entries at every commit.
        count = int(opened.entries.known.sum()) if state == "ready" else records
        known: dict[str, object] = {"category_count": count, "record_count": records}
        needed = (self.fit is None) == (opened.image_count > 0)  # there is one where exemplars are
        stale = fitting == "always" or (fitting == "auto" and is_stale(opened))
        if state == "ready" and (needed or stale):
            known["fit"] = fit_memory(opened)
        manifest = opened.manifest.model_copy(update=known)
        memory = Memory(self.folder, manifest, opened.categories, opened.entries)
        commit(self.folder, manifest)
        # What follows is drafted after the generation that is valid now.
        now = Draft.after(memory)
        self.__dict__.update({**now.__dict__, "build": self.build, "committed": state})
        _ = memory.fit, memory.changed  # in memory before a later generation removes their files
        return memory

    def _manifest(self, state: Literal["building", "ready"]) -> Manifest:
        return Manifest(
            name=self.folder.name,
            generation=self.generation + 1,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            created_by=f"rar-agent {rar_agent.__version__}",
            state=state,
            build=self.build if state == "building" else "",
            fixed=self.fixed,
            domain=self.domain,
            encoder=self.encoder,
            dimension=self.dimension,
            thumbnails=self.thumbnails,
            layers=tuple(self.layers),
            category_count=0,  # counted when all is opened
            next_category=self.next_category,
            next_entry=self.next_entry,
            segments=tuple(self.segments),
            tombstones=(
                write_file(self.folder, self.removed.astype("<i8").tobytes(), "ids")
                if len(self.removed)
                else None
            ),
            fit=self.fit,
            rankers=self.rankers,
            prior=self.prior,
            drifts=self.drifts,
        )
