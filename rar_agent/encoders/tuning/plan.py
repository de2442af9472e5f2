"""From settings and a tuning to what runs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from rar_agent.encoders.engines.base import EngineName
from rar_agent.encoders.tuning.record import Chosen, Measured, Tuning
from rar_agent.garbage import keeps_freed
from rar_agent.settings import Settings

CPU_PASS, CPU_PASS_ANEW = 8, 4
"""Images in one forward pass on a CPU, at most, where nothing was tuned: more are no faster there;
the second where malloc gets the memory for each pass anew. docs/speed.md has figures."""
LOWER = ("bf16", "fp16", "int8")
"""Precision classes that are not `fp32`."""


class Way(NamedTuple):
    """How an encoder is run, as far as its answers depend on it.

    Attributes:
        precision: See `Engine.precision`.
        engine: Which one.
        device: Torch device.
    """

    precision: str
    engine: str
    device: str


@dataclass(frozen=True)
class Plan:
    """What runs the image half of an encoder.

    Attributes:
        engine: Which one.
        precision: Its class, or the one quantised model that is meant.
        batch_size: Images in one pass.
        since: When the tuning was that decided it; empty where none did.
    """

    engine: EngineName = "torch"
    precision: str = "fp32"
    batch_size: int = 32
    since: str = ""

    def __str__(self) -> str:
        since = f"as tuned {self.since}" if self.since else "not tuned"
        return f"{self.engine}, {self.precision}, {self.batch_size} images at once, {since}"


def plan_of(
    settings: Settings, device: str, tuning: Tuning | None, measured: Collection[Way] = ()
) -> Plan:
    """What the settings ask for, and where they leave it open, what the tuning found.

    A precision is lowered without being asked for only for a memory in which its drift is on
    record, measured as it would be run.

    Args:
        settings: Engine, precision, batch size.
        device: What the encoder runs on.
        tuning: One that holds.
        measured: Ways whose drift is on record in the memory that is asked.
    """
    asked, most = settings.engine, settings.batch_size
    on_cpu = CPU_PASS if keeps_freed() else CPU_PASS_ANEW
    usual_size = min(most, on_cpu) if device == "cpu" else most

    def planned(found: Chosen | Measured) -> Plan:
        size = min(most, found.batch_size)
        if (found.engine, found.precision) == ("torch", "fp32") and not keeps_freed():
            size = min(size, usual_size)  # it was measured by a command, where malloc keeps
        return Plan(found.engine, found.precision, size, tuning.created if tuning else "")

    if tuning is None:
        precision = "fp32" if settings.precision == "auto" else settings.precision
        usual: EngineName = "openvino" if precision == "int8" else "torch"
        return Plan(usual if asked == "auto" else asked, precision, usual_size)
    if settings.precision == "auto":
        lower = tuning.lower
        found = tuning.chosen
        if lower and Way(lower.precision, lower.engine, tuning.device) in measured:
            found = lower
        if asked in ("auto", found.engine):
            return planned(found)
        return Plan(_engine(asked), "fp32", usual_size)
    exact = settings.precision == "fp32"
    fastest = tuning.chosen if exact else tuning.fastest(settings.precision)
    if fastest is not None and asked in ("auto", fastest.engine):
        return planned(fastest)
    return plan_of(settings, device, None)


def _engine(asked: str) -> EngineName:
    assert asked != "auto"  # noqa: S101 - which fits whatever was found
    return asked  # type: ignore[return-value]
