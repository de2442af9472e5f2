"""Tuning: which engine, precision and batch are fastest for an encoder on this machine."""

from rar_agent.encoders.tuning.plan import LOWER, Plan, Way, plan_of
from rar_agent.encoders.tuning.record import (
    Agreement,
    Chosen,
    Measured,
    Tuning,
    keep_lower,
    read_tuning,
    write_tuning,
)

__all__ = [
    "LOWER",
    "Agreement",
    "Chosen",
    "Measured",
    "Plan",
    "Tuning",
    "Way",
    "keep_lower",
    "plan_of",
    "read_tuning",
    "write_tuning",
]
