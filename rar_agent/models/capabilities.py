"""What a model's server does not take, learnt from its refusals and kept on disk."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from rar_agent.durable import replace_file
from rar_agent.forks import Lock

Feature = Literal["schema", "logprobs", "temperature", "max_tokens"]
"""JSON schema of the answer; log-probabilities of tokens; a temperature other than its own; the
limit on tokens by its older name, beside OpenAI's newer `max_completion_tokens`."""

FEATURES: Mapping[Feature, str] = {
    "schema": "JSON schema",
    "logprobs": "log-probabilities",
    "temperature": "temperature",
    "max_tokens": "max_tokens",
}
"""In words."""

KEPT_DAYS = 30
"""After so long it is found out anew: servers are brought up to date."""


class Finding(BaseModel):
    """One thing that a probe found.

    Attributes:
        what: It looked at.
        found: In words.
        fix: What to do about it; empty where nothing is needed.
    """

    what: str
    found: str
    fix: str = ""


class Known(BaseModel):
    """What is known of a model's server.

    Attributes:
        name: `provider:name` of the model.
        learnt: When something was last learnt, in seconds since 1970; 0: nothing is known.
        refused: Features that it was found to refuse.
        sides: Longest side of pictures that it takes, in pixels, by their least number in a
            request. What many pictures are too large for, one may not be.
        most: Pictures that it takes in a request; None: any number.
        probed: What `probe` found; empty where it was not run.
    """

    name: str = ""
    learnt: float = 0.0
    refused: frozenset[Feature] = frozenset()
    sides: dict[int, int] = {}
    most: int | None = None
    probed: tuple[Finding, ...] = ()


class Capabilities:
    """What a server refuses of a model. Thread-safe; processes may share the file.

    Args:
        name: `provider:name`.
        server: Base URL; empty for the provider's own.
        folder: Where it is kept; None keeps it in memory only.
    """

    def __init__(self, name: str = "", server: str = "", folder: Path | None = None) -> None:
        self._name = name
        self._path: Path | None = None
        if folder is not None:
            digest = hashlib.sha256(f"{server}\n{name}".encode()).hexdigest()[:16]
            self._path = folder / f"{digest}.json"
        self._known = self._read()
        self._lock = Lock()

    @property
    def known(self) -> Known:
        """All that is known."""
        return self._known

    @property
    def refused(self) -> frozenset[Feature]:
        """Features that it was found to refuse."""
        return self._known.refused

    def side(self, pictures: int) -> int | None:
        """Longest side of each of so many pictures that it takes, in pixels; None: any."""
        return min((side for n, side in self._known.sides.items() if n <= pictures), default=None)

    def refuse(self, features: Iterable[Feature]) -> None:
        """Remember that features are refused."""
        new = frozenset(features)
        with self._lock:
            if not new <= self._known.refused:
                known = self._merged()
                self._keep(known, refused=known.refused | new)

    def limit(self, pictures: int, side: int) -> None:
        """Remember that so many pictures are taken at this side, and not at a larger one."""
        with self._lock:
            known = self._merged()
            least = min(side, known.sides.get(pictures, side))
            self._keep(known, sides={**known.sides, pictures: least})

    def limit_number(self, pictures: int) -> None:
        """Remember that so many pictures are taken, and no more."""
        with self._lock:
            known = self._merged()
            self._keep(known, most=min(pictures, known.most or pictures))

    def found(self, probed: Sequence[Finding], fresh: Capabilities) -> None:
        """Replace what was known by what a probe found.

        Args:
            probed: In words.
            fresh: What the server refused the probe.
        """
        with self._lock:
            self._keep(fresh.known, probed=tuple(probed))

    def _merged(self) -> Known:
        """With what other processes have learnt."""
        known, file = self._known, self._read()
        return known.model_copy(
            update={
                "refused": known.refused | file.refused,
                "sides": {**file.sides, **known.sides},
                "most": min(filter(None, (known.most, file.most)), default=None),
                "probed": known.probed or file.probed,
            }
        )

    def _keep(self, known: Known, **changes: object) -> None:
        self._known = known.model_copy(
            update={**changes, "name": self._name, "learnt": time.time()}
        )
        self._write()

    def _read(self) -> Known:
        if self._path is None:
            return Known()
        try:
            known = Known.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return Known()  # it is learnt again
        fresh = 0 <= time.time() - known.learnt < KEPT_DAYS * 86_400
        return known if fresh else Known()

    def _write(self) -> None:
        if self._path is None:
            return
        with suppress(OSError):  # it costs one refused request a run
            replace_file(self._path, self._known.model_dump_json(indent=1).encode())
