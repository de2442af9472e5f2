"""One recognition, told to all who look: spans, metrics, LangSmith, the log."""

from __future__ import annotations

from rar_agent.telemetry.logs import DEGRADED, events
from rar_agent.telemetry.spans import count, described
from rar_agent.telemetry.tracing import describe_run
from rar_agent.types import Recognition

_log = events("rar_agent.recognized")


def recognized(found: Recognition) -> None:
    """Tell of a recognition."""
    count(found)
    describe_run(described(found))
    if found.trace.degraded:
        _log.warning(
            DEGRADED,
            image=found.source,
            memory=found.trace.memory,
            reason=found.trace.reason,
        )
