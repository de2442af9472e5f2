"""Learning: from image files and names to entries of a draft."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rar_agent.encoders import Encoder, FloatArray
from rar_agent.errors import InputError
from rar_agent.images import AdmittedImage, Policy, read_batches
from rar_agent.memory.generation import read_manifest
from rar_agent.memory.memory import Memory
from rar_agent.memory.open import open_generation
from rar_agent.memory.segment import NewEntry, write_segment
from rar_agent.memory.write import Draft
from rar_agent.types import Category, Failure

Progress = Callable[[int, int], None]
"""Told after each batch how many images are done, and of how many."""

Taught = Sequence[tuple[Category, Sequence[Path]]]
"""Categories and their images."""

BATCH = 64
"""Images read before they are encoded, fewer where they are large."""
SEGMENT = 2_048
"""Images in a segment, and the most that an interrupted build has to encode again."""


@dataclass
class Report:
    """What teaching did.

    Attributes:
        memory: The memory as it is now.
        added: Exemplars that are new.
        known: Exemplars that were there already, by content hash.
        failures: Files that could not be used, each with its reason.
    """

    memory: Memory | None = None
    added: int = 0
    known: int = 0
    failures: list[Failure] = field(default_factory=list)


class Learner:
    """Encodes what is new into segments of a draft and commits it.

    Args:
        draft: Of a memory whose lock the caller holds.
        encoder: The memory's encoder.
        policy: Limits on the images.
        progress: Told after each batch.
        building: Whether this is a creation, which is committed as incomplete until it is done.
    """

    def __init__(
        self,
        draft: Draft,
        encoder: Encoder,
        policy: Policy | None,
        progress: Progress | None,
        building: bool = False,
    ) -> None:
        self._draft = draft
        self._encoder = encoder
        self._policy = policy or Policy()
        self._progress = progress
        self._building = building
        self._report = Report()
        self._pending: list[tuple[list[NewEntry], FloatArray]] = []
        self._known, self._has_text = self._live()
        self._taught = self._has_text | {category for category, _ in self._known}

    def teach(self, images: Taught, names: Sequence[Category]) -> Report:
        """Learn images and names, then fit and commit.

        Raises:
            InputError: Nothing could be learnt at all.
        """
        ids = self._draft.add_categories([*(c for c, _ in images), *names])
        try:
            self._teach_images([(ids[c.name], path) for c, paths in images for path in paths])
        except KeyboardInterrupt:
            # What was encoded stays: a build is committed as incomplete, an addition as it is.
            if self._taught:
                self._drop_untaught(())
                if not self._building:
                    self._teach_texts(with_names=bool(names))
                self._draft.commit("building" if self._building else "ready")
            raise
        self._drop_untaught([ids[category.name] for category in names])
        if not self._draft.categories:
            first = self._report.failures[0].error if self._report.failures else "no images."
            raise InputError(f"Nothing could be learnt: {first}")
        self._teach_texts(with_names=bool(names))
        self._report.memory = self._draft.commit("ready")
        return self._report

    def _drop_untaught(self, named: Sequence[int]) -> None:
        """Drop categories of which nothing is known: no entry, and no name that was given."""
        kept = self._taught | set(named)
        self._draft.categories = {i: c for i, c in self._draft.categories.items() if i in kept}

    def _teach_images(self, todo: list[tuple[int, Path]]) -> None:
        done = 0
        try:
            for read in read_batches((path for _, path in todo), self._policy, BATCH):
                categories = [category for category, _ in todo[done : done + len(read)]]
                self._learn(list(zip(categories, read, strict=True)))
                done += len(read)
                if self._progress:
                    self._progress(done, len(todo))
                if sum(len(entries) for entries, _ in self._pending) >= SEGMENT:
                    self._write()
                    if self._building:
                        self._draft.commit("building")
        finally:
            self._write()

    def _learn(self, read: list[tuple[int, AdmittedImage | Failure]]) -> None:
        """Encode those of a batch that are new; failures go to the report."""
        new: dict[tuple[int, str], AdmittedImage] = {}
        for category, image in read:
            if isinstance(image, Failure):
                self._report.failures.append(image)
            elif (category, image.sha256) in self._known or (category, image.sha256) in new:
                self._report.known += 1
            else:
                new[category, image.sha256] = image
        if new:
            vectors = self._encoder.encode_images([image.rgb for image in new.values()])
            entries = [NewEntry(c, "image", sha256, i.name) for (c, sha256), i in new.items()]
            self._keep(entries, vectors)
            self._known |= set(new)
            self._report.added += len(new)

    def _teach_texts(self, with_names: bool) -> None:
        """Give every category without one a text entry: all or none, so that texts compare."""
        if not (with_names or self._has_text or self._encoder.names_help):
            return
        todo = [i for i in sorted(self._draft.categories) if i not in self._has_text]
        if not todo:
            return
        names = [self._draft.categories[i].name for i in todo]
        templates = self._draft.encoder.templates
        vectors = sum(
            self._encoder.encode_texts([template.replace("{}", name) for name in names])
            for template in templates
        )
        rows = np.asarray(vectors, np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        entries = [
            NewEntry(i, "text", hashlib.sha256(repr((templates, n)).encode()).hexdigest(), n)
            for i, n in zip(todo, names, strict=True)
        ]
        self._keep(entries, rows)
        self._write()

    def _keep(self, entries: list[NewEntry], vectors: FloatArray) -> None:
        # One append: an interruption must not part entries from their vectors.
        self._pending.append((entries, vectors))
        self._taught |= {entry.category for entry in entries}

    def _write(self) -> None:
        if not self._pending:
            return
        draft = self._draft
        entries = [entry for part, _ in self._pending for entry in part]
        vectors = np.concatenate([part for _, part in self._pending])
        draft.segments.append(write_segment(draft.folder, draft.next_entry, entries, vectors))
        draft.next_entry += len(entries)
        self._pending.clear()

    def _live(self) -> tuple[set[tuple[int, str]], set[int]]:
        """Known images by category and content hash, and categories with a text."""
        if not self._draft.generation:
            return set(), set()
        memory: Memory = open_generation(self._draft.folder, read_manifest(self._draft.folder))
        images: set[tuple[int, str]] = set()
        texts: set[int] = set()
        live = set(memory.entries.ids.tolist())
        for segment in memory.entries.segments:
            for row in segment.entries:
                if int(row["id"]) not in live:
                    continue
                if row["modality"] == 0:
                    images.add((int(row["category"]), bytes(row["content"]).hex()))
                elif row["modality"] == 1:
                    texts.add(int(row["category"]))
        return images, texts
