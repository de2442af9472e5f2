"""Collectors, and what is seen by them."""

import logging
from types import SimpleNamespace

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rar_agent.recognizer import Recognizer
from rar_agent.telemetry.logs import _handler
from tests.collector import Collector


@pytest.fixture(autouse=True)
def nobody_listens():
    """The log as a library has it, whatever commands ran in this process before."""

    def silence():
        logging.getLogger("rar_agent").removeHandler(_handler)
        logging.getLogger("rar_agent").setLevel(logging.NOTSET)

    silence()
    yield
    silence()


@pytest.fixture
def collector():
    with Collector() as running:
        yield running


@pytest.fixture
def asking(server, settings):
    """A recognizer whose model is always asked."""
    given = {"model": "openai:m", "base_url": server.url, "skip_ranking_at": 1.01}

    def load(**options):
        return Recognizer(settings=settings, **{"model_retries": 0, **given, **options})

    return load


@pytest.fixture(scope="session")
def sdk():
    """OpenTelemetry's SDK, configured in this process, which can be done once."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider([reader]))
    return SimpleNamespace(spans=spans, reader=reader)


@pytest.fixture
def spans(sdk):
    """Spans that have ended since the last call, in the order of their beginnings."""

    def ended():
        found = sorted(sdk.spans.get_finished_spans(), key=lambda span: span.start_time)
        sdk.spans.clear()
        return found

    ended()
    return ended


@pytest.fixture
def measured(sdk):
    """Sum (or, of a histogram, sum and count) of a metric by its labels, since the test began."""

    def points():
        data = sdk.reader.get_metrics_data()
        found = [
            (metric.name, point)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]
        return {(name, frozenset(point.attributes.items())): point for name, point in found}

    def value(point):
        return point.value if hasattr(point, "value") else (point.sum, point.count)

    def less(now, then):
        return now - then if isinstance(now, int | float) else (now[0] - then[0], now[1] - then[1])

    before = {key: value(point) for key, point in points().items()}

    def since(name):
        found = {}
        for key, point in points().items():
            now = value(point)
            more = less(now, before[key]) if key in before else now
            if key[0] == name and more not in (0, (0, 0)):
                found[key[1]] = more
        return found

    return since
