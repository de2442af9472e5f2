"""A generation in the making, held by the one writer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

import rar_agent
from rar_agent.memory.fit import Fit, fit_exemplars
from rar_agent.memory.generation import commit, write_file
from rar_agent.memory.manifest import (
    MODALITIES,
    EncoderRecord,
    FitRecord,
    Manifest,
    SegmentRef,
)
from rar_agent.memory.memory import Memory
from rar_agent.memory.open import open_generation, read_categories
from rar_agent.types import Category


@dataclass
class Draft:
    """What the next generation will hold; nothing is valid before `commit`.

    Attributes:
        folder: The memory's folder, whose lock the caller holds.
        encoder: The encoder of all its vectors.
        dimension: Length of a vector.
        domain: What kind of categories these are.
        fixed: Whether it may not be taught.
        build: Hash of what a creation learns.
        generation: The last committed generation; 0 if there is none.
        categories: By id.
        segments: Written segments, the old ones first.
        removed: Ids of removed entries.
        next_category: Next free category id; ids are never used twice.
        next_entry: Next free entry id; likewise.
    """

    folder: Path
    encoder: EncoderRecord
    dimension: int
    domain: str = ""
    fixed: bool = False
    build: str = ""
    generation: int = 0
    categories: dict[int, Category] = field(default_factory=dict)
    segments: list[SegmentRef] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)
    next_category: int = 0
    next_entry: int = 0

    @classmethod
    def new(cls, folder: Path, encoder: EncoderRecord, dimension: int, domain: str = "") -> Draft:
        """The draft of a memory's first generation."""
        return cls(folder, encoder, dimension, domain)

    @classmethod
    def after(cls, memory: Memory) -> Draft:
        """The draft of the generation that follows an opened one."""
        manifest = memory.manifest
        ids, categories = read_categories(memory.folder, manifest)
        stored = {int(i) for s in memory.entries.segments for i in s.entries["id"]}
        return cls(
            memory.folder,
            manifest.encoder,
            manifest.dimension,
            manifest.domain,
            manifest.fixed,
            manifest.build,
            manifest.generation,
            dict(zip((int(i) for i in ids), categories, strict=True)),
            list(manifest.segments),
            stored - {int(i) for i in memory.entries.ids},
            manifest.next_category,
            manifest.next_entry,
        )

    def add_categories(self, categories: Iterable[Category]) -> dict[str, int]:
        """Add those whose names are new; returns the id of every name there is."""
        ids = {category.name: i for i, category in self.categories.items()}
        for category in categories:
            if category.name not in ids:
                ids[category.name] = self.next_category
                self.categories[self.next_category] = category
                self.next_category += 1
        return ids

    def commit(self, state: Literal["building", "ready"]) -> Memory:
        """Fit if it is ready, write the manifest and switch to it."""
        manifest = self._manifest(state)
        if state == "ready":
            fit = self._fit(open_generation(self.folder, manifest))
            if fit is not None:
                manifest = manifest.model_copy(update={"fit": self._record(fit)})
        commit(self.folder, manifest)
        self.generation = manifest.generation
        return open_generation(self.folder, manifest)

    def _manifest(self, state: Literal["building", "ready"]) -> Manifest:
        rows = (
            json.dumps({"id": i, **self.categories[i].model_dump(mode="json")}, ensure_ascii=False)
            for i in sorted(self.categories)
        )
        removed = np.array(sorted(self.removed), "<i8")
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
            categories=write_file(self.folder, "".join(f"{r}\n" for r in rows).encode(), "jsonl"),
            category_count=len(self.categories),
            next_category=self.next_category,
            next_entry=self.next_entry,
            segments=tuple(self.segments),
            tombstones=write_file(self.folder, removed.tobytes(), "ids") if len(removed) else None,
        )

    def _fit(self, memory: Memory) -> Fit | None:
        entries = memory.entries
        rows = np.flatnonzero(entries.modalities == MODALITIES.index("image"))
        if not len(rows):
            return None
        columns = entries.columns[rows]
        vectors = np.asarray(entries.vectors[rows])
        scorer = memory.scorer
        texts = scorer.text_logits(vectors, np.unique(columns)) if scorer.text else None
        ids = np.array(sorted(self.categories), np.int32)
        return fit_exemplars(
            vectors,
            ids[columns],
            texts,
            names_help=self.encoder.names_help,
        )

    def _record(self, fit: Fit) -> FitRecord:
        return FitRecord(
            rule=fit.rule,
            feature_map=fit.feature_map,
            shrinkage=fit.shrinkage,
            image_scale=fit.image_scale,
            text_weight=fit.text_weight,
            calibrated=fit.calibrated,
            loo_images=fit.loo_images,
            loo_top1=fit.loo_top1,
            loo_ece=fit.loo_ece,
            similarity_floor=fit.similarity_floor,
            categories=write_file(self.folder, fit.categories.astype("<i4").tobytes(), "ids"),
            weights=write_file(self.folder, fit.weights.astype("<f4").tobytes(), "weights"),
            biases=write_file(self.folder, fit.biases.astype("<f4").tobytes(), "biases"),
        )
