"""Our own commands export where OpenTelemetry's variables say so; the library never does."""

import os
import subprocess
import sys

import pytest
from opentelemetry import metrics, trace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from rar_agent.settings import load_settings
from rar_agent.telemetry import start

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.slow
def test_a_command_exports_over_otlp(collector, home):
    code = "from rar_agent.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, "recognize", "--example", "--json"],
        env={**os.environ, ENDPOINT: collector.url, "OTEL_RESOURCE_ATTRIBUTES": "shop=north"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    spans, resources, measured = {}, [], set()
    for path, _, body in collector.posts:
        if path == "/v1/traces":
            [sent] = ExportTraceServiceRequest.FromString(body).resource_spans
            resources.append(sent.resource)
            spans |= {span.name: span for scope in sent.scope_spans for span in scope.spans}
        else:
            assert path == "/v1/metrics"
            [sent] = ExportMetricsServiceRequest.FromString(body).resource_metrics
            resources.append(sent.resource)
            measured |= {metric.name for scope in sent.scope_metrics for metric in scope.metrics}
    assert {"recognize", "encode", "search", "rank"} <= spans.keys()
    assert spans["search"].parent_span_id == spans["recognize"].span_id
    assert {"rar.part.duration", "rar.recognitions"} <= measured
    for resource in resources:
        told = {one.key: one.value.string_value for one in resource.attributes}
        assert (told["service.name"], told["shop"]) == ("rar-agent", "north")


def test_an_sdk_that_is_there_stays(sdk, collector, monkeypatch):
    before = trace.get_tracer_provider(), metrics.get_meter_provider()
    monkeypatch.setenv(ENDPOINT, collector.url)
    start(load_settings())
    assert (trace.get_tracer_provider(), metrics.get_meter_provider()) == before


EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


def test_a_missing_extra_is_said(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    start(load_settings())
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    start(load_settings())
    assert "pip install 'rar-agent[otel]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9"}, True),
        ({ENDPOINT: "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"}, True),
        (
            {
                ENDPOINT: "http://127.0.0.1:9",
                "OTEL_TRACES_EXPORTER": "none",
                "OTEL_METRICS_EXPORTER": "none",
            },
            False,
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_what_asks_for_an_export(monkeypatch, capsys, variables, asked):
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    start(load_settings())
    assert bool(capsys.readouterr().err) == asked
