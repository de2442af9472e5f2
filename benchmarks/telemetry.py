"""What spans and metrics cost a recognition: its five parts, one model call, and what is told.

    python -m benchmarks.telemetry

Each way in a process of its own: without OpenTelemetry, with its API alone, with its SDK and a
batch processor that throws spans away. Medians of rounds, with their range.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from time import perf_counter

from rar_agent.telemetry import model_call, part, recognized
from rar_agent.types import Category, RankedCategory, Recognition, Trace, Usage

WAYS = {"none": "not installed", "api": "API, no SDK", "sdk": "SDK, batch processor"}
TIMES, ROUNDS = 2_000, 15
FOUND = Recognition(
    image="0" * 64,
    source="photo.jpg",
    decision="accepted",
    categories=(
        RankedCategory(
            category=Category(name="a"), probability=0.9, retrieval_probability=0.8, evidence=()
        ),
    ),
    trace=Trace(
        memory="m",
        generation=1,
        encoder="builtin",
        device="cpu",
        precision="fp32",
        method="gda",
        calibrated=True,
        probability_means="probability",
        ranker="listwise",
    ),
)


def recognition() -> None:
    """As a recognition tells of itself; nothing else is done."""
    with part("recognize"):
        with part("admit"):
            pass
        with part("encode", images=1, device="cpu"):
            pass
        with part("search", k=5):
            pass
        with part("rank"), model_call("openai:gpt-5-mini") as call:
            call.answered("gpt-5-mini", "stop", Usage(input_tokens=300, output_tokens=12))
        recognized(FOUND)


def configure(way: str) -> None:
    """Make this process one of the `WAYS`."""
    if way == "none":
        sys.modules["opentelemetry"] = None  # type: ignore[assignment]
    if way == "sdk":
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import (
            BatchSpanProcessor,
            SpanExporter,
            SpanExportResult,
        )

        class Nowhere(SpanExporter):
            def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002
                return SpanExportResult.SUCCESS

        tracers = TracerProvider()
        tracers.add_span_processor(BatchSpanProcessor(Nowhere()))
        trace.set_tracer_provider(tracers)
        metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))


def microseconds() -> list[float]:
    """Of one recognition, in each round."""
    found = []
    for _ in range(ROUNDS + 1):
        start = perf_counter()
        for _ in range(TIMES):
            recognition()
        found.append(1e6 * (perf_counter() - start) / TIMES)
    return found[1:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=WAYS, help="Measure this one, in this process.")
    way = parser.parse_args().way
    if way:
        configure(way)
        print(json.dumps(microseconds()))  # noqa: T201
        return
    print("| OpenTelemetry | µs a recognition |\n|---|---|")  # noqa: T201
    for way, said in WAYS.items():
        command = [sys.executable, "-m", "benchmarks.telemetry", "--way", way]
        ran = subprocess.run(command, check=True, capture_output=True, text=True)
        took = json.loads(ran.stdout)
        middle = statistics.median(took)
        print(f"| {said} | {middle:.0f} ({min(took):.0f} to {max(took):.0f}) |")  # noqa: T201


if __name__ == "__main__":
    main()
