"""Learning: from image files and names to entries of a draft."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from rar_agent.encoders import Encoder, FloatArray
from rar_agent.errors import ImageError, InputError
from rar_agent.images import AdmittedImage, Policy, admit
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
        self._any_text = bool(self._has_text)
        self._taught = self._has_text | {category for category, _ in self._known}

    def teach(self, images: Taught, names: Sequence[Category]) -> Report:
        """Learn images and names, then fit and commit.

        Raises:
            InputError: Nothing could be learnt at all.
        """
        ids = self._draft.add_categories([*(c for c, _ in images), *names])
        try:
            self._teach_images([(ids[c.name], path) for c, paths in images for path in paths])
            if self._any_text or names or self._encoder.names_help:
                self._teach_texts()
        except KeyboardInterrupt:
            # What was encoded stays: a build is committed as incomplete, an addition as it is.
            self._finish("building" if self._building else "ready")
            raise
        return self._finish("ready")

    def _finish(self, state: Literal["building", "ready"]) -> Report:
        draft = self._draft
        draft.categories = {i: c for i, c in draft.categories.items() if i in self._taught}
        if not draft.categories and state == "ready":
            first = self._report.failures[0].error if self._report.failures else "no images."
            raise InputError(f"Nothing could be learnt: {first}")
        self._report.memory = draft.commit(state)
        return self._report

    def _teach_images(self, todo: list[tuple[int, Path]]) -> None:
        done = 0
        try:
            for batch, size in self._admitted(todo):
                if batch:
                    vectors = self._encoder.encode_images([image.rgb for _, image in batch])
                    self._keep(
                        [NewEntry(c, "image", image.sha256, image.name) for c, image in batch],
                        vectors,
                    )
                    self._report.added += len(batch)
                done += size
                if self._progress:
                    self._progress(done, len(todo))
                if sum(len(entries) for entries, _ in self._pending) >= SEGMENT:
                    self._write()
                    if self._building:
                        self._draft.commit("building")
        finally:
            self._write()

    def _admitted(
        self, todo: list[tuple[int, Path]]
    ) -> Iterator[tuple[list[tuple[int, AdmittedImage]], int]]:
        """Batches of new images with how many files each took; failures go to the report."""
        size = 64
        with ThreadPoolExecutor(2) as pool:
            for start in range(0, len(todo), size):
                part = todo[start : start + size]
                batch = []
                for (category, _), image in zip(
                    part, pool.map(self._try_admit, (path for _, path in part)), strict=True
                ):
                    if isinstance(image, Failure):
                        self._report.failures.append(image)
                    elif (category, image.sha256) in self._known:
                        self._report.known += 1
                    else:
                        self._known.add((category, image.sha256))
                        batch.append((category, image))
                yield batch, len(part)

    def _try_admit(self, path: Path) -> AdmittedImage | Failure:
        try:
            return admit(path, self._policy)
        except ImageError as error:
            return Failure(source=str(path), error=str(error), kind=type(error).__name__)

    def _teach_texts(self) -> None:
        """Give every category without one a text entry: all or none, so that texts compare."""
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
