"""Learning: from samples to entries of a draft."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rar_agent.encoders import Encoder, FloatArray
from rar_agent.errors import InputError
from rar_agent.memory.format.generation import current_generation
from rar_agent.memory.format.origin import origin_of
from rar_agent.memory.format.segment import NewEntry, open_segment
from rar_agent.memory.memory import Memory
from rar_agent.memory.readers import Reader, Sample
from rar_agent.memory.taxonomy import refuse_cycle
from rar_agent.memory.teaching.draft import Draft, Fitting
from rar_agent.memory.teaching.indexing import with_indexes
from rar_agent.memory.teaching.known import KnownImages
from rar_agent.memory.teaching.merge import merge_all
from rar_agent.memory.teaching.seeing import Item, Seeing, Seen
from rar_agent.memory.teaching.texts import content_of, encode_categories
from rar_agent.types import Category, Failure

Progress = Callable[[int, int | None], None]
"""Told before the first and after each batch how many images are done, and of how many, where
that is known; where there are none, how many categories by name."""

SEGMENT = 2_048
"""Images in a segment, and the most that an interrupted build has to encode again."""
MOST_SEGMENTS = 8
"""Segments that a build leaves; more are merged in the end."""
MOST_RECORDED = 10_000
"""Failures and conflicts that a report lists; it counts all."""


@dataclass
class Report:
    """What teaching did.

    Attributes:
        memory: The memory as it is now.
        added: Exemplars that are new.
        known: Exemplars that were there already, by content hash.
        failed: Files and rows that could not be used.
        failures: The first of them, each with its reason.
        conflicting: Images that were learnt although another category has the same one.
        conflicts: The first of them.
    """

    memory: Memory | None = None
    added: int = 0
    known: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    conflicting: int = 0
    conflicts: list[str] = field(default_factory=list)

    def fail(self, failure: Failure) -> None:
        """Count and, up to a limit, record a failure."""
        self.failed += 1
        if len(self.failures) < MOST_RECORDED:
            self.failures.append(failure)


class Learner:
    """Encodes what is new into segments of a draft and commits it.

    Args:
        draft: Of a memory whose lock the caller holds.
        memory: The generation that the draft follows; None for a new memory.
        encoder: The memory's encoder, for texts.
        seeing: Reads and encodes the images.
        progress: Told after each batch.
        building: Whether this is a creation, which is committed as incomplete until it is done.
    """

    def __init__(
        self,
        draft: Draft,
        memory: Memory | None,
        encoder: Encoder,
        seeing: Seeing,
        progress: Progress | None,
        building: bool = False,
    ) -> None:
        self._draft = draft
        self._encoder = encoder
        self._seeing = seeing
        self._progress = progress
        self._building = building
        self._report = Report()
        self._pending: list[tuple[list[NewEntry], FloatArray]] = []
        self._known = KnownImages(memory)
        self._has_texts = memory is not None and "text" in memory.entries.modalities
        self._memory = memory
        self._texts_taught = False
        # Categories that this teaching brought; the first part of a build left some without entry.
        self._new = draft.numbers() - with_entries(memory) if building else set[int]()
        self._taught: set[int] = set()  # those that it gave an entry
        self._changed: set[int] = set()  # those that it gave other details
        self._named: set[int] = set()  # those that were given by name alone
        self._branches: set[int] = set()  # those that were given as branches
        self._cycles: set[str] = set()  # of parents, told once each
        self._images = 0  # read so far

    def teach(self, reader: Reader, fitting: Fitting = "auto") -> Report:
        """Learn all samples, choose the scoring and commit.

        Raises:
            InputError: Nothing could be learnt at all.
        """
        try:
            self._teach_images(reader)
            self._drop_untaught()
            self._teach_texts()
            self._texts_taught = True
            if self._memory is None and not self._taught:
                reasons = self._report.failures
                raise InputError(
                    f"Nothing could be learnt: {reasons[0].error if reasons else 'no images.'}"
                )
            if self._building:
                self._tidy()
            self._report.memory = self._draft.commit("ready", fitting)
        except KeyboardInterrupt:
            # What was encoded stays: a build is committed as incomplete, an addition as it is.
            self._finish_interrupted()
            raise
        return self._report

    def _tidy(self) -> None:
        """Merge the segments of a long build, and give large ones an index."""
        draft = self._draft
        if origin_of(draft.folder) is not None:  # which merges and indexes what it keeps itself
            return
        if len(draft.segments) > MOST_SEGMENTS:
            opened = [open_segment(draft.folder, s, draft.dimension) for s in draft.segments]
            draft.segments = merge_all(draft.folder, opened, draft.removed)
            draft.removed = np.empty(0, np.int64)
        draft.segments = with_indexes(draft.folder, draft.segments, draft.dimension)

    def _finish_interrupted(self) -> None:
        draft = self._draft
        if draft.committed == "ready" or current_generation(draft.folder) > draft.generation:
            return  # it was done
        self._named.clear()
        self._branches.clear()
        self._drop_untaught()
        if not self._taught:
            return
        if self._building:
            self._draft.commit("building", "never")
            return
        if not self._texts_taught:
            self._teach_texts()
        self._draft.commit("ready", "never")

    def _drop_untaught(self) -> None:
        """Drop new categories of which nothing is known: no entry, and no name that was given."""
        for number in self._new - self._taught - self._named - self._branches:
            self._draft.forget(number)

    def _teach_images(self, reader: Reader) -> None:
        done, total = 0, reader.count if self._progress else None
        self._tell(done, total)
        try:
            for batch in self._seeing.batches(self._samples(reader), self._knows):
                self._learn(batch)
                done += len(batch)
                self._images = done
                self._tell(done, total)
                if sum(len(entries) for entries, _ in self._pending) >= SEGMENT:
                    self._write()
                    if self._building:
                        self._draft.commit("building", "never")
        finally:
            self._write()

    def _tell(self, done: int, total: int | None) -> None:
        if self._progress:
            self._progress(done, total)

    def _samples(self, reader: Reader) -> Iterator[Item]:
        """Samples with an image, and the ids of their categories."""
        for sample in self._seeing.samples(reader):
            if isinstance(sample, Failure):
                self._report.fail(sample)
                continue
            number = self._category(sample.category)
            if sample.branch:
                self._branches.add(number)
            elif not sample.has_image:
                self._named.add(number)
            else:
                yield number, sample

    def _category(self, given: Category) -> int:
        """Id of a category; what is new of its details is kept, what it had stays."""
        try:
            refuse_cycle(given, self._draft)
        except InputError as error:
            if (cycle := str(error)) not in self._cycles:  # every image of it comes with its parent
                self._cycles.add(cycle)
                self._report.fail(Failure(source=given.name, error=cycle, kind="InputError"))
            given = given.model_copy(update={"parent": ""})
        number = self._draft.find(given.name)
        if number is None:
            number = self._draft.put(given)
            self._new.add(number)
            return number
        old = self._draft.category(number)
        if old is not None and given != old:
            merged = with_details(old, given)
            if merged != old:
                self._draft.put(merged, number)
                self._changed.add(number)
        return number

    def _knows(self, item: Item, sha256: str) -> bool:
        return self._known.has(item[0], sha256)

    def _learn(self, batch: list[tuple[Item, Seen | Failure | str]]) -> None:
        """Encode those of a batch that are new; failures go to the report."""
        new: dict[tuple[int, str], tuple[Seen, str]] = {}
        for (category, sample), image in batch:
            if isinstance(image, Failure):
                self._report.fail(image.model_copy(update={"source": sample.source}))
            elif isinstance(image, str) or self._known.has(category, image.sha256):
                self._report.known += 1
            else:
                if self._known.has_anywhere(image.sha256):
                    self._conflict(sample)
                new[category, image.sha256] = image, sample.source
                self._known.add(category, image.sha256)
        if not new:
            return
        vectors = self._seeing.vectors([image for image, _ in new.values()])
        entries = [
            NewEntry(category, sha256, source, thumbnail=image.thumbnail)
            for (category, sha256), (image, source) in new.items()
        ]
        # One append: an interruption must not part entries from their vectors.
        self._pending.append((entries, vectors))
        self._taught |= {entry.category for entry in entries}
        self._report.added += len(new)

    def _conflict(self, sample: Sample) -> None:
        self._report.conflicting += 1
        if len(self._report.conflicts) < MOST_RECORDED:
            self._report.conflicts.append(f"{sample.source} ({sample.category.name})")

    def _teach_texts(self) -> None:
        """Give categories text entries, where texts are wanted: all, so that they compare.

        Once they have, new and named ones get a text, as do branches that were taught, and those
        whose texts changed another. A text that was removed stays away.
        """
        if not (self._named or self._has_texts or self._encoder.names_help):
            return
        wanted = (self._new - self._branches) | self._named
        had_entries = with_entries(self._memory)
        wanted |= self._taught - had_entries if self._has_texts else self._taught | had_entries
        had = text_contents(self._memory, sorted(wanted | self._changed))
        todo = [
            (number, category)
            for number in sorted(wanted | had.keys())
            if (category := self._draft.category(number)) is not None
            and had.get(number) != content_of(category, self._draft.encoder.templates)
        ]
        progress = None if self._images else self._progress
        replace_texts(self._draft, self._memory, self._encoder, todo, progress)
        self._taught |= {number for number, _ in todo}
        self._changed.clear()
        self._has_texts = True

    def _write(self) -> None:
        entries = [entry for part, _ in self._pending for entry in part]
        if entries:
            vectors = np.concatenate([part for _, part in self._pending])
            self._draft.add_segment("image", entries, vectors)
        self._pending.clear()


def replace_texts(
    draft: Draft,
    memory: Memory | None,
    encoder: Encoder,
    categories: list[tuple[int, Category]],
    progress: Progress | None = None,
) -> None:
    """Write new text entries for categories, in place of those that they have in `memory`."""
    if not categories:
        return
    templates = draft.encoder.templates
    if memory is not None and "text" in memory.entries.modalities:
        columns = memory.categories.columns(np.array([number for number, _ in categories]))
        rows = memory.entries.rows_of("text", columns[columns >= 0])
        draft.remove(memory.entries.id_of(int(row)) for row in rows)
    encoded = [category for _, category in categories]
    vectors = encode_categories(encoder, encoded, templates, progress)
    entries = [
        NewEntry(number, content_of(category, templates), category.name)
        for number, category in categories
    ]
    draft.add_segment("text", entries, vectors)


def text_contents(memory: Memory | None, numbers: Sequence[int]) -> dict[int, str]:
    """Content hashes of the text entries of those categories that have one."""
    if memory is None or "text" not in memory.entries.modalities:
        return {}
    columns = memory.categories.columns(np.array(numbers, np.int64))
    fields = memory.entries.fields(memory.entries.rows_of("text", columns[columns >= 0]))
    return {int(field["category"]): bytes(field["content"]).hex() for field in fields}


def with_entries(memory: Memory | None) -> set[int]:
    """Ids of the categories that have an entry; the other records are branches."""
    if memory is None:
        return set()
    return set(memory.categories.ids[memory.entries.known].tolist())


def with_details(old: Category, new: Category) -> Category:
    """A category with what another description of it adds; what it had already stays."""
    aliases = [alias for alias in new.aliases if alias not in (*old.aliases, old.name)]
    return old.model_copy(
        update={
            "aliases": (*old.aliases, *aliases),
            "description": old.description or new.description,
            "parent": old.parent or new.parent,
            "metadata": {**new.metadata, **old.metadata},
        }
    )
