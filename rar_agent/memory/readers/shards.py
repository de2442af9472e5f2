"""WebDataset shards: tars in which consecutive members with one stem are one sample."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from rar_agent.errors import InputError
from rar_agent.images.policy import Limits, printable
from rar_agent.memory.readers.categories import CategoryBook
from rar_agent.memory.readers.fields import CATEGORY_COLUMNS, category_from, pick, text
from rar_agent.memory.readers.group import LONGEST_LABEL, Group, is_image, split
from rar_agent.memory.readers.identity import file_state, identity_of
from rar_agent.memory.readers.sample import Sample, failed
from rar_agent.memory.readers.tar import DamagedTarError, read_members
from rar_agent.types import Category, Failure


@dataclass(frozen=True)
class ShardReader:
    """Images and their labels from WebDataset shards: .tar and .tar.gz.

    Consecutive members whose paths agree up to the first dot of the file's name are one sample:
    its image by suffix (`key.jpg` before `key.seg.png`), its category from `key.json` (keys as
    the columns of a table, see `TableReader`), or else from `key.cls`, `key.label` or `key.txt`.
    Samples with neither are passed over. Nothing is ever extracted to disk.

    Shards are read once, from beginning to end: a sample's category has the details that samples
    so far gave, each from the first that gives it. A damaged shard is one failure in the place of
    the rest of it, the sample before the damage included; the next shard is read.

    Attributes:
        patterns: Paths or glob patterns, one or several.
        names: Of the categories, where classes are numbers.
        max_bytes: Largest image in bytes; a larger one is a failure.
        shards: Absolute paths of the shards; those of each pattern sorted.

    Raises:
        InputError: A pattern matches no file. When read: classes are numbers and `names` is
            not given.
    """

    patterns: str | Path | Sequence[str | Path]
    names: Sequence[str] | None = None
    max_bytes: int = Limits.max_bytes
    shards: tuple[Path, ...] = field(init=False)

    def __post_init__(self) -> None:
        asked = [self.patterns] if isinstance(self.patterns, str | Path) else self.patterns
        shards = dict.fromkeys(shard for pattern in asked for shard in _matches(pattern))
        if not shards:
            raise InputError("No shard is named.", "Give the paths of tar files, or a pattern.")
        object.__setattr__(self, "shards", tuple(shards))

    @cached_property
    def identity(self) -> str:
        """Hash of the shards' names, sizes and times of change, and of `names`."""
        state = [part for shard in self.shards for part in (shard.name, file_state(shard))]
        names = ("named", *self.names) if self.names is not None else ()
        return identity_of("shards", *map(printable, state), *names)

    @property
    def count(self) -> None:
        """Not known without reading all shards."""
        return None

    def samples(self) -> Iterator[Sample | Failure]:
        """One sample or failure a group of members."""
        return self._read(places=False)

    def placed(self) -> Iterator[Sample | Failure]:
        """The same, with the images' places and not their bytes."""
        return self._read(places=True)

    def _read(self, places: bool) -> Iterator[Sample | Failure]:
        book = CategoryBook()
        wanted = _labels if places else self._wanted
        for shard in self.shards:
            group: Group | None = None
            try:
                for member in read_members(shard, wanted, passing_over=places):
                    key, suffix = split(member.name)
                    if not key or not suffix:
                        continue
                    if group is None or group.key != key or suffix in group.parts:
                        if group is not None:
                            yield from self._sample(group, book, places)
                        group = Group(shard, key)
                    group.take(suffix, member)
            except DamagedTarError as error:
                start = f"{shard}/{group.key}" if group else str(shard)
                damage = InputError(
                    f"The shard cannot be read from here on: {error}.", "Get the file again."
                )
                yield failed(start, damage)
                continue
            if group is not None:
                yield from self._sample(group, book, places)

    def _wanted(self, name: str) -> int:
        _, suffix = split(name)
        return self.max_bytes if is_image(suffix) else LONGEST_LABEL

    def _sample(self, group: Group, book: CategoryBook, places: bool) -> Iterator[Sample | Failure]:
        if group.parts:
            try:
                image, place = group.image(self.max_bytes)
                category = book.add(self._category(group))
            except _UnnamedClassError:
                raise
            except InputError as error:
                yield failed(group.where, error)
            else:
                where = printable(group.where)
                yield Sample(category, image, where, place=place if places else None)

    def _category(self, group: Group) -> Category:
        row = group.row()
        column = pick(row, CATEGORY_COLUMNS)
        value = row[column] if column else group.label()
        if isinstance(value, int) and not isinstance(value, bool):
            value = self._name(value, group.where)
        name = text(value, column or "The label")
        if not name:
            raise InputError(
                "The sample has no category.",
                f"Add a member {PurePosixPath(group.key).name}.json or .cls that names it.",
            )
        return category_from(row, name, group.where, (column,))

    def _name(self, number: int, where: str) -> str:
        if self.names is None:
            raise _UnnamedClassError(
                f"The class of {printable(where)} is the number {number}.",
                "Give the categories' names, in the order of their numbers (names=…).",
            )
        if not 0 <= number < len(self.names):
            raise InputError(
                f"The class is the number {number}; there are {len(self.names)} names.",
                "Give a name for each number from 0.",
            )
        return self.names[number]


def _labels(name: str) -> int:
    """Bytes that are wanted of a member where images are not."""
    return 0 if is_image(split(name)[1]) else LONGEST_LABEL


class _UnnamedClassError(InputError):
    """Classes are numbers: no sample can be understood."""


def _matches(pattern: str | Path) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_file():  # also where its name has signs of a pattern
        return [path.resolve()]
    found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - absolute patterns too
    shards = [Path(name).resolve() for name in found if Path(name).is_file()]
    if not shards:
        raise InputError(
            f"'{printable(str(pattern))}' matches no file.",
            "Write a path, or a pattern such as 'shards/train-*.tar'.",
        )
    return shards
