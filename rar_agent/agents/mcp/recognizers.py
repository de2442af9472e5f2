"""The recognizers of a server, one for each memory that was asked."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rar_agent.agents.knowledge import require_memory
from rar_agent.settings import Settings

if TYPE_CHECKING:
    from rar_agent.recognizer import Recognizer


class Recognizers:
    """Made when they are first asked for; torch is imported then, not before. Thread-safe.

    Args:
        settings: Of all but the memory.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._made: dict[str, Recognizer] = {}
        self._lock = threading.Lock()

    def of(self, memory: str = "") -> Recognizer:
        """The one that answers with the newest generation of a memory; empty: the settings' one.

        Raises:
            NotFoundError: There is no such memory.
            ConfigurationError: A setting is not valid.
        """
        from rar_agent.recognizer import Recognizer

        name = require_memory(self.settings, memory or None)
        with self._lock:
            if name not in self._made:
                self._made[name] = Recognizer(name, settings=self.settings)
            found = self._made[name]
        found.refresh()
        _ = found.memory
        return found
