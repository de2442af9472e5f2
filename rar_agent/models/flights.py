"""Equal questions at the same time: one is asked, the others wait for its answer."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from rar_agent.forks import OfProcess
from rar_agent.loop import promise

T = TypeVar("T")


class Flights(OfProcess, Generic[T]):
    """Answers that are on their way. Thread-safe."""

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, Future[T | None]] = {}

    def join(self, question: Hashable) -> tuple[Future[T | None], bool]:
        """The flight of a question, and whether it starts here; then it has to `land`.

        Its result is None where whoever asked gave up.
        """
        with self._lock:
            found = self._flights.get(question)
            if found is not None:
                return found, False
            self._flights[question] = started = promise()
            return started, True

    def land(self, question: Hashable) -> None:
        """End a flight, with None where it has no result yet."""
        with self._lock:
            flight = self._flights.pop(question)
        if not flight.done():
            flight.set_result(None)
