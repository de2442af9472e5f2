"""How it is seen from outside: spans, metrics, logs, and what of images and keys never is."""

from rar_agent.telemetry.logs import events, log_no_degraded, mask_log
from rar_agent.telemetry.recognized import recognized
from rar_agent.telemetry.redact import (
    UNPRINTABLE,
    hide_secrets,
    redacted,
    without_folders,
    without_images,
)
from rar_agent.telemetry.spans import model_call, part
from rar_agent.telemetry.start import start
from rar_agent.telemetry.tracing import hide_images, trace_without_images

__all__ = [
    "UNPRINTABLE",
    "events",
    "hide_images",
    "hide_secrets",
    "log_no_degraded",
    "mask_log",
    "model_call",
    "part",
    "recognized",
    "redacted",
    "start",
    "trace_without_images",
    "without_folders",
    "without_images",
]
