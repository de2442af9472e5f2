"""What a tuning found, kept in the home folder; and when that holds no more."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rar_agent.durable import replace_file
from rar_agent.encoders.engines.base import EngineName, class_of
from rar_agent.errors import ConfigurationError
from rar_agent.telemetry import events

_log = events(__name__)
_said: set[str] = set()


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class Agreement(_Record):
    """How far one way of running an encoder answers as the reference does, for a memory."""

    images: int = Field(ge=1)
    same: int = Field(ge=0)
    """Of these, with the same likeliest category."""
    low: float
    """Of the 95 % interval of the share, by Wilson, 0 to 1."""
    high: float
    difference: float = Field(ge=0, le=1)
    """The largest difference of the probability of the reference's likeliest category."""

    @property
    def share(self) -> float:
        """Share of the images with the same likeliest category, 0 to 1."""
        return self.same / self.images


class Measured(_Record):
    """One engine in one precision with one size of batch."""

    engine: EngineName
    precision: str
    """See `Engine.precision`."""
    batch_size: int = Field(ge=1)
    images_s: float = 0.0
    """Images a second, forward pass alone: the median of the rounds."""
    slow: float = 0.0
    """Lower quartile of the rounds."""
    fast: float = 0.0
    """Upper quartile of the rounds."""
    one_ms: float = 0.0
    """Milliseconds for one image alone, the median."""
    rss_mb: float | None = None
    """MB by which the process grew when it was loaded and first run; None where not known."""
    load_s: float = 0.0
    """Seconds until it is ready, with what is kept on disk."""
    difference: float = 0.0
    """Largest difference of a number of unit rows from torch in fp32."""
    agreement: Agreement | None = None
    """With torch in fp32; None where no memory was asked."""
    refused: str = ""
    """Why it cannot be chosen; empty where it can."""


class Chosen(_Record):
    """What to run."""

    engine: EngineName
    precision: str
    batch_size: int = Field(ge=1)


class Tuning(_Record):
    """What was measured for one encoder on one device of one machine."""

    encoder: str
    """Its name."""
    identity: str
    """Of its fingerprint."""
    device: str
    machine: str
    threads: int
    versions: dict[str, str]
    created: str
    """UTC, ISO 8601."""
    images: str
    """What was encoded, in words."""
    memory: str = ""
    """Whose answers were compared; empty where none was."""
    rounds: int = Field(ge=1)
    measured: tuple[Measured, ...]
    chosen: Chosen
    """Equal to torch in fp32."""
    lower: Chosen | None = None
    """In a lower precision that was allowed, and is faster; for memories with its drift on
    record."""
    why: str
    """Why these."""

    def fastest(self, precision: str) -> Measured | None:
        """The fastest that was measured of a precision class; None where none was."""
        found = [
            one
            for one in self.measured
            if class_of(one.precision) == precision and not one.refused and one.images_s
        ]
        return max(found, key=lambda one: one.images_s, default=None)

    def stale(self, identity: str) -> str:
        """Why it does not hold for an encoder as it is now; empty where it does."""
        import torch

        from rar_agent.encoders.engines.make import machine, versions

        if self.identity != identity:
            return "the encoder changed"
        if self.machine != machine(self.device) or self.threads != torch.get_num_threads():
            return "the machine changed"
        if self.versions != (now := versions()):
            names = sorted({*now, *self.versions})
            others = [name for name in names if now.get(name) != self.versions.get(name)]
            return f"packages changed: {', '.join(others)}"
        return ""


def read_tuning(home: Path, name: str, device: str, identity: str) -> Tuning | None:
    """What was found for an encoder on a device, as far as it still holds.

    One that does not is told of in the log, once a process.

    Args:
        home: The home folder.
        name: The encoder's.
        device: Torch device.
        identity: Of the encoder's fingerprint, as it is now.
    """
    path = _path(home, name, device)
    try:
        found = Tuning.model_validate_json(path.read_bytes())
        why = found.stale(identity)
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        found, why = None, "its file cannot be read"
    if not why:
        return found
    if str(path) not in _said:
        _said.add(str(path))
        _log.warning(
            "a tuning does not hold any more, torch in fp32 is used; run rar-agent tune again",
            encoder=name,
            reason=why,
        )
    return None


def keep_lower(found: Tuning, before: Tuning | None, tried: Collection[str]) -> Tuning:
    """A tuning with the lower precision of the one before, if it has none and did not try that.

    Args:
        found: The new one.
        before: One that still holds, of the same encoder and device.
        tried: Precision classes that the new one was allowed.
    """
    lower = before.lower if before else None
    if before is None or lower is None or found.lower or class_of(lower.precision) in tried:
        return found
    kept = [
        one
        for one in before.measured
        if (one.engine, one.precision) == (lower.engine, lower.precision)
    ]
    why = f"{found.why}; {lower.precision} by {lower.engine} was allowed before, and stays"
    measured = (*found.measured, *kept)
    return found.model_copy(update={"lower": lower, "measured": measured, "why": why})


def write_tuning(home: Path, tuning: Tuning) -> None:
    """Keep what was found, in place of what was before.

    Raises:
        ConfigurationError: It cannot be written.
    """
    path = _path(home, tuning.encoder, tuning.device)
    try:
        replace_file(path, tuning.model_dump_json(indent=1).encode())
    except OSError as error:
        raise ConfigurationError(
            f"'{path}' cannot be written: {error.strerror}.",
            "Make room, or set RAR_HOME to a folder that can be written.",
        ) from error
    _said.discard(str(path))


def _path(home: Path, name: str, device: str) -> Path:
    mark = hashlib.sha256(f"{name} {device}".encode()).hexdigest()[:16]
    return home.expanduser() / "tuning" / f"{mark}.json"
