"""Teaching and forgetting: create, add, remove."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rar_agent.encoders import Encoder
from rar_agent.errors import ImageError, InputError, NotFoundError
from rar_agent.images import AdmittedImage, Policy, admit
from rar_agent.memory.generation import read_manifest
from rar_agent.memory.location import CURRENT, memory_folder
from rar_agent.memory.lock import writer_lock
from rar_agent.memory.manifest import EncoderRecord
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
PHOTO_TEMPLATE = "a photo of a {}."
NAME_TEMPLATE = "{}"


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


def create_memory(
    home: Path,
    name: str,
    encoder: Encoder,
    images: Taught = (),
    names: Sequence[Category] = (),
    domain: str = "",
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> Report:
    """Create a memory from images, from names, or from both.

    An interrupted creation goes on where it stopped when it is run again.

    Args:
        home: Where memories live.
        name: Up to 64 letters, digits, dots, dashes and underscores.
        encoder: Makes all its vectors, now and later.
        images: Categories with their image files.
        names: Categories known by name.
        domain: What kind of categories these are, for the ranking prompt: `bird species`.
        policy: Limits on the images.
        progress: Told after each batch.

    Raises:
        InputError: It exists already, or there is nothing to learn.
        FingerprintMismatchError: The build to go on with was begun with another encoder.
        BusyError: Somebody else is writing to it.
    """
    folder = memory_folder(home, name)
    if not images and not names:
        raise InputError("There is nothing to learn.", "Give images, names, or both.")
    with writer_lock(folder):
        if (folder / CURRENT).exists():
            begun = open_generation(folder, read_manifest(folder))
            if begun.manifest.state == "ready":
                raise InputError(
                    f"Memory '{name}' exists already.",
                    f"Teach it with rar-agent memory add {name}, or choose another name.",
                )
            _require_encoder(begun, encoder)
            draft = Draft.after(begun)
        else:
            template = PHOTO_TEMPLATE if encoder.names_help else NAME_TEMPLATE
            record = EncoderRecord(
                name=encoder.name,
                details=dict(encoder.fingerprint.details),
                precision=encoder.fingerprint.precision,
                text_scale=encoder.text_scale,
                names_help=encoder.names_help,
                templates=(template,),
            )
            draft = Draft.new(folder, record, encoder.dimension, domain)
            draft.commit("building")
        return _Teacher(draft, encoder, policy, progress, building=True).teach(images, names)


def add_to_memory(
    home: Path,
    name: str,
    encoder: Encoder,
    images: Taught = (),
    names: Sequence[Category] = (),
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> Report:
    """Teach a memory more categories, or more exemplars of those it has.

    Raises:
        NotFoundError: There is no such memory.
        InputError: It is a ready memory, which may not be taught.
        FingerprintMismatchError: It was made by another encoder.
        BusyError: Somebody else is writing to it.
    """
    folder = memory_folder(home, name)
    with _writing(folder) as memory:
        _require_encoder(memory, encoder)
        return _Teacher(Draft.after(memory), encoder, policy, progress).teach(images, names)


def remove_from_memory(
    home: Path, name: str, categories: Sequence[str] = (), entries: Sequence[int] = ()
) -> Memory:
    """Forget whole categories, or single entries; a category without entries goes too.

    Raises:
        NotFoundError: The memory, a category or an entry is not there; nothing is changed.
        InputError: It is a ready memory.
        BusyError: Somebody else is writing to it.
    """
    folder = memory_folder(home, name)
    with _writing(folder) as memory:
        draft = Draft.after(memory)
        id_of = {category.name: i for i, category in draft.categories.items()}
        for category in categories:
            if category not in id_of:
                close = difflib.get_close_matches(category, id_of, n=3)
                hint = f"Did you mean {', '.join(close)}?" if close else "See memory show."
                raise NotFoundError(f"Memory '{name}' has no category '{category}'.", hint)
        unknown = set(entries) - {int(i) for i in memory.entries.ids}
        if unknown:
            raise NotFoundError(f"Memory '{name}' has no entry {min(unknown)}.", "See memory show.")
        order = np.array(sorted(draft.categories))
        category_of = order[memory.entries.columns]
        gone = np.isin(memory.entries.ids, list(entries))
        gone |= np.isin(category_of, [id_of[category] for category in categories])
        draft.removed |= {int(i) for i in memory.entries.ids[gone]}
        left = {int(i) for i in np.unique(category_of[~gone])}
        draft.categories = {i: c for i, c in draft.categories.items() if i in left}
        return draft.commit("ready")


@contextmanager
def _writing(folder: Path) -> Iterator[Memory]:
    """Hold the lock of a memory that may be taught, opened."""
    read_manifest(folder)  # before the lock, which would make the folder
    with writer_lock(folder):
        memory = open_generation(folder, read_manifest(folder))
        if memory.manifest.fixed:
            raise InputError(
                f"Memory '{memory.name}' is ready-made and may not be changed.",
                "Create your own: rar-agent memory create NAME --images FOLDER",
            )
        if memory.manifest.state == "building":
            raise InputError(
                f"The build of memory '{memory.name}' was interrupted.",
                "Run the same rar-agent memory create again first.",
            )
        yield memory


def _require_encoder(memory: Memory, encoder: Encoder) -> None:
    memory.fingerprint.require(
        encoder.fingerprint,
        f"Memory '{memory.name}'",
        f"Use --encoder {memory.manifest.encoder.name}, or create another memory.",
    )


class _Teacher:
    """Encodes what is new into segments of a draft and commits it."""

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
        self._known, self._has_text, self._any_text = self._live()

    def teach(self, images: Taught, names: Sequence[Category]) -> Report:
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

    def _finish(self, state: str) -> Report:
        draft = self._draft
        with_entries = self._has_text | {category for category, _ in self._known}
        draft.categories = {i: c for i, c in draft.categories.items() if i in with_entries}
        if not draft.categories and state == "ready":
            first = self._report.failures[0].error if self._report.failures else "no images."
            raise InputError(f"Nothing could be learnt: {first}")
        self._report.memory = draft.commit("ready" if state == "ready" else "building")
        return self._report

    def _teach_images(self, todo: list[tuple[int, Path]]) -> None:
        entries: list[NewEntry] = []
        vectors: list[np.ndarray] = []
        done = 0
        try:
            for batch, size in self._admitted(todo):
                if batch:
                    vectors.append(self._encoder.encode_images([image.rgb for _, image in batch]))
                    entries += [
                        NewEntry(category, "image", image.sha256, image.name)
                        for category, image in batch
                    ]
                done += size
                if self._progress:
                    self._progress(done, len(todo))
                if len(entries) >= SEGMENT:
                    self._write(entries, vectors)
                    if self._building:
                        self._draft.commit("building")
        finally:
            self._write(entries, vectors)

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
                        self._report.added += 1
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
        self._has_text |= set(todo)
        self._write(entries, [rows])

    def _write(self, entries: list[NewEntry], vectors: list[np.ndarray]) -> None:
        if not entries:
            return
        draft = self._draft
        draft.segments.append(
            write_segment(draft.folder, draft.next_entry, entries, np.concatenate(vectors))
        )
        draft.next_entry += len(entries)
        entries.clear()
        vectors.clear()

    def _live(self) -> tuple[set[tuple[int, str]], set[int], bool]:
        """Known images by category and hash, categories with a text, whether there are texts."""
        if not self._draft.generation:
            return set(), set(), False
        memory = open_generation(self._draft.folder, read_manifest(self._draft.folder))
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
        return images, texts, bool(texts)
