"""What workers of tests are made of: encoders that count, hang and die."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.memory.teaching.tiny import TinyEncoder


@dataclass(frozen=True)
class Loads:
    """Loads an encoder in a worker that writes down what it encodes, and misbehaves once.

    Attributes:
        notes: Folder, where each image that is encoded leaves a line in `encoded`.
        at: Image in an encoder's life at which it misbehaves, from 1; one dawdles before. 0: never.
        how: `die` or `hang`.
        weights: See `TinyEncoder`.
    """

    notes: Path
    at: int = 0
    how: str = "die"
    weights: str = "tiny"

    def __call__(self):
        return _Noting(self)

    @property
    def encoded(self):
        """How many images were encoded, by all."""
        file = self.notes / "encoded"
        return len(file.read_text().splitlines()) if file.exists() else 0


class _Noting(TinyEncoder):
    def __init__(self, world):
        super().__init__(weights=world.weights)
        self._world = world

    def encode_prepared(self, images):
        world = self._world
        if world.at and self._first("dawdled"):
            time.sleep(2)
        if self.images < world.at <= self.images + len(images) and self._first(world.how):
            if world.how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(1_000)
        with (world.notes / "encoded").open("a") as file:
            file.write(f"{os.getpid()}\n" * len(images))
        return super().encode_prepared(images)

    def _first(self, what):
        """Whether nobody did it before."""
        try:
            (self._world.notes / f"once-{what}").open("x").close()
        except FileExistsError:
            return False
        return True
