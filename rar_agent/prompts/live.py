"""What is made of a prompt, made anew where its file was edited: for servers that run on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from rar_agent.errors import RarError
from rar_agent.forks import Lock
from rar_agent.prompts.library import find_prompt, load_prompt
from rar_agent.prompts.prompt import Prompt
from rar_agent.telemetry import events

_log = events(__name__)

T = TypeVar("T")


class Live(Generic[T]):
    """What is made of a prompt; thread-safe.

    Each `get` looks at the file's time and size. Where they changed, the file is read again; where
    what it says now cannot be used, the last that could stays in use, with one warning in the log.

    Args:
        reference: `name@version`; a file that newly comes before the one in use counts as an edit.
        home: RAR_HOME.
        make: Makes it of the prompt; what it raises says that the prompt cannot be used.
    """

    def __init__(self, reference: str, home: Path, make: Callable[[Prompt], T]) -> None:
        self._reference, self._home, self._make = reference, home, make
        self._lock = Lock()
        self._seen: tuple[object, ...] | None = None
        self._made: T | None = None

    def get(self) -> T:
        """It, of the prompt as it is now.

        Raises:
            NotFoundError: There is no such prompt, and never was.
            ConfigurationError: The prompt is not valid, and never was; or what `make` raises.
        """
        with self._lock:
            # Looked at before it is read: what changes between the two is seen next time.
            seen = self._look()
            if self._made is None:
                self._made = self._make(load_prompt(self._reference, self._home))
            elif seen != self._seen:
                try:
                    self._made = self._make(load_prompt(self._reference, self._home))
                    _log.info("an edited prompt is used from now on", prompt=self._reference)
                except RarError as error:
                    _log.warning(
                        "the prompt as it was before stays in use",
                        prompt=self._reference,
                        error=error,
                    )
            self._seen = seen
            return self._made

    def _look(self) -> tuple[object, ...]:
        try:
            path = find_prompt(self._reference, self._home)
            status = path.stat()
        except (RarError, OSError):
            return ()
        return (path, status.st_mtime_ns, status.st_size, status.st_ino)
