"""A few images of each category, drawn by a seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from rar_agent.errors import InputError
from rar_agent.images.policy import printable
from rar_agent.memory.readers.identity import identity_of
from rar_agent.memory.readers.placed import placed
from rar_agent.memory.readers.sample import Reader, Sample
from rar_agent.types import Failure


def draw(reader: Reader, shots: int, seed: int = 0) -> Reader:
    """At most `shots` images of each category, drawn with the seed and not the first.

    The reader is read twice; only positions are held in memory. The draw of a category depends
    on its key, its number of images and the seed, not on other categories. Categories by name
    alone, and failures, pass through. Images are not opened: one that turns out damaged is not
    replaced by another.

    Args:
        reader: What to draw from.
        shots: At least 1.
        seed: Of the draw.

    Raises:
        InputError: There is nothing to draw.
    """
    if shots < 1:
        raise InputError(f"{shots} images of each category is nothing.", "Ask for 1 or more.")
    return _Drawn(reader, shots, seed)


@dataclass(frozen=True)
class _Drawn:
    reader: Reader
    shots: int
    seed: int

    @property
    def identity(self) -> str:
        return identity_of("draw", self.reader.identity, self.shots, self.seed)

    @property
    def count(self) -> int:
        return sum(map(len, self._positions.values()))

    def samples(self) -> Iterator[Sample | Failure]:
        return self._drawn_of(self.reader.samples())

    def placed(self) -> Iterator[Sample | Failure]:
        return self._drawn_of(placed(self.reader))

    def _drawn_of(self, samples: Iterator[Sample | Failure]) -> Iterator[Sample | Failure]:
        positions = self._positions
        met: Counter[str] = Counter()
        for sample in samples:
            if isinstance(sample, Sample) and sample.has_image:
                name = sample.category.name
                position = met[name]
                met[name] += 1
                if position not in positions.get(name, ()):
                    continue
            yield sample

    @cached_property
    def _positions(self) -> dict[str, frozenset[int] | range]:
        """Of each category by name, the positions drawn among its own images."""
        totals: Counter[str] = Counter()
        keys: dict[str, str] = {}
        for sample in placed(self.reader):
            if isinstance(sample, Sample) and sample.has_image:
                totals[sample.category.name] += 1
                keys.setdefault(sample.category.name, sample.key or sample.category.name)
        return {name: self._drawn(keys[name], total) for name, total in totals.items()}

    def _drawn(self, key: str, total: int) -> frozenset[int] | range:
        if total <= self.shots:
            return range(total)
        seeded = random.Random(f"{self.seed}:{printable(key)}")
        return frozenset(seeded.sample(range(total), self.shots))
