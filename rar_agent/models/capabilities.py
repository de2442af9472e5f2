"""What a model's server does not take, learnt from its refusals and kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

Feature = Literal["schema", "logprobs", "temperature"]
"""JSON schema of the answer; log-probabilities of tokens; a temperature other than its own."""

KEPT_DAYS = 30
"""After so long it is found out anew: servers are brought up to date."""


class _File(BaseModel):
    name: str
    learnt: float
    refused: list[Feature]


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
        self._lock = threading.Lock()
        self._refused = self._read()

    @property
    def refused(self) -> frozenset[Feature]:
        """Features that it was found to refuse."""
        return self._refused

    def refuse(self, features: Iterable[Feature]) -> None:
        """Remember that features are refused."""
        new = frozenset(features)
        with self._lock:
            if new <= self._refused:
                return
            self._refused |= new | self._read()
            self._write()

    def _read(self) -> frozenset[Feature]:
        if self._path is None:
            return frozenset()
        try:
            file = _File.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return frozenset()  # it is learnt again
        fresh = 0 <= time.time() - file.learnt < KEPT_DAYS * 86_400
        return frozenset(file.refused) if fresh else frozenset()

    def _write(self) -> None:
        if self._path is None:
            return
        file = _File(
            name=self._name,
            learnt=time.time(),
            refused=sorted(self._refused),
        )
        new = self._path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps(file.model_dump(), indent=1))
            new.replace(self._path)
        except OSError:
            new.unlink(missing_ok=True)  # it costs one refused request a run
