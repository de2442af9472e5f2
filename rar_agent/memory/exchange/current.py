"""The valid generation of a memory, opened once, with its categories by document id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rar_agent.forks import Lock
from rar_agent.memory.exchange.documents import id_of, record_of
from rar_agent.memory.format.generation import stamp
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.memory import Memory
from rar_agent.memory.open import open_memory


@dataclass(frozen=True)
class Opened:
    """One generation.

    Attributes:
        current: What CURRENT said.
        memory: The memory.
        numbers: Ids of its categories by the id of their documents.
    """

    current: bytes
    memory: Memory
    numbers: dict[str, int]


class CurrentMemory:
    """Opens a memory again when another generation became valid. Thread-safe.

    Args:
        home: Where memories live.
        name: The memory.
    """

    def __init__(self, home: Path, name: str) -> None:
        self._home, self._name = home, name
        self._folder = memory_folder(home, name)
        self._lock = Lock()
        self._state: Opened | None = None

    def opened(self) -> Opened:
        """The valid generation.

        Raises:
            NotFoundError: The memory was deleted.
            DamagedDataError: It is damaged.
        """
        current = stamp(self._folder)
        with self._lock:
            if not current or self._state is None or self._state.current != current:
                memory = open_memory(self._home, self._name)
                self._state = Opened(current, memory, _numbers_of(memory))
            return self._state

    def numbers(self, memory: Memory) -> dict[str, int]:
        """Ids of categories by the id of their documents, of a generation that is being changed."""
        state = self._state
        if state and state.memory.manifest == memory.manifest:
            return state.numbers
        return _numbers_of(memory)

    def remember(self, memory: Memory, numbers: dict[str, int]) -> None:
        """Take over a generation that was just committed; the caller holds the writer's lock."""
        with self._lock:
            self._state = Opened(stamp(self._folder), memory, numbers)


def _numbers_of(memory: Memory) -> dict[str, int]:
    """Where a document's id is another category's name, it stands for the document."""
    numbers: dict[str, int] = {}
    for number, category in zip(memory.categories.ids.tolist(), memory.categories, strict=True):
        if record_of(category) is not None:
            numbers[id_of(category)] = number
        else:
            numbers.setdefault(id_of(category), number)
    return numbers
