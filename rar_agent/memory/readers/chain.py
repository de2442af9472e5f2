"""Several inputs as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rar_agent.errors import InputError
from rar_agent.memory.readers.identity import identity_of
from rar_agent.memory.readers.placed import placed
from rar_agent.memory.readers.sample import Reader, Sample
from rar_agent.types import Failure


def chain(*readers: Reader) -> Reader:
    """Read one after another, in one build. A single reader is returned as it is.

    Raises:
        InputError: There are none.
    """
    if not readers:
        raise InputError("There is nothing to learn.", "Give at least one input.")
    return readers[0] if len(readers) == 1 else _Chained(readers)


@dataclass(frozen=True)
class _Chained:
    readers: tuple[Reader, ...]

    @property
    def identity(self) -> str:
        return identity_of("chain", *(reader.identity for reader in self.readers))

    @property
    def count(self) -> int | None:
        total = 0
        for reader in self.readers:
            count = reader.count
            if count is None:
                return None
            total += count
        return total

    def samples(self) -> Iterator[Sample | Failure]:
        for reader in self.readers:
            yield from reader.samples()

    def placed(self) -> Iterator[Sample | Failure]:
        for reader in self.readers:
            yield from placed(reader)
