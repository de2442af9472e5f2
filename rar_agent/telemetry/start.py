"""What a process of our own does when it begins: a command, a server; never the library."""

from __future__ import annotations

import logging
import os
import warnings

from rar_agent.settings import Settings
from rar_agent.telemetry.logs import events, log_to_standard_error
from rar_agent.telemetry.tracing import hide_images

_log = events(__name__)


def start(settings: Settings) -> None:
    """Set up the log and, where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, spans and metrics.

    Whoever has configured an SDK already, such as `opentelemetry-instrument`, keeps it.

    Args:
        settings: Form and level of the log; whether LangSmith is shown images.
    """
    log_to_standard_error(settings.log, settings.log_level)
    # What is wrong with an image is our error; Python would also keep each warning for ever.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    if _exported("TRACES") or _exported("METRICS"):
        try:
            _export()
        except ImportError as error:
            _log.warning(
                "spans and metrics are not exported",
                error=error,
                fix="pip install 'rar-agent[otel]'",
            )
    hide_images(settings)


def _exported(signal: str) -> bool:
    """Whether OpenTelemetry's variables ask for `TRACES` or `METRICS` over OTLP."""
    names = "OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
    wanted = os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp")
    return wanted == "otlp" and any(os.environ.get(name) for name in names)


def _export() -> None:
    from opentelemetry import metrics, trace
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = OTELResourceDetector().detect().attributes
    resource = Resource.create({"service.name": "rar-agent", **named})
    # Both send what is left when the process ends.
    if _exported("TRACES") and not isinstance(trace.get_tracer_provider(), TracerProvider):
        tracers = TracerProvider(resource=resource)
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(tracers)
    if _exported("METRICS") and not isinstance(metrics.get_meter_provider(), MeterProvider):
        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        metrics.set_meter_provider(MeterProvider([reader], resource))
