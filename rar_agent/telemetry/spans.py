"""Spans and metrics by OpenTelemetry's API, where it is installed; else nothing but a clock.

The API does nothing either until the process configures an SDK. Model calls are told as the
semantic conventions for generative AI say
(https://github.com/open-telemetry/semantic-conventions-genai).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rar_agent.telemetry.redact import redacted

if TYPE_CHECKING:
    from rar_agent.types import Recognition, Usage

_NAME = "rar_agent"

_PROVIDERS = {
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
}
"""LangChain's names of providers, where the conventions have others."""

_PART_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_CALL_SECONDS = tuple(0.01 * 2**i for i in range(14))  # as the conventions say, like the next
_TOKENS = tuple(4**i for i in range(14))


class _OpenTelemetry:
    """The API's tracer and instruments; both find the SDK that is configured, even later."""

    def __init__(self) -> None:
        from opentelemetry import context, metrics, trace

        self.trace = trace
        self.attach, self.detach = context.attach, context.detach
        self.tracer = trace.get_tracer(_NAME)
        meter = metrics.get_meter(_NAME)

        def histogram(name: str, unit: str, what: str, bounds: tuple[float, ...]) -> Any:  # noqa: ANN401
            return meter.create_histogram(
                name, unit, what, explicit_bucket_boundaries_advisory=bounds
            )

        self.part_seconds = histogram(
            "rar.part.duration", "s", "Duration of a part of a recognition.", _PART_SECONDS
        )
        self.call_seconds = histogram(
            "gen_ai.client.operation.duration", "s", "GenAI operation duration.", _CALL_SECONDS
        )
        self.tokens = histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            _TOKENS,
        )
        self.cost = meter.create_counter("rar.cost", "USD", "Spent on models.")
        self.recognitions = meter.create_counter(
            "rar.recognitions", "{recognition}", "Images recognised, by decision."
        )
        self.kept = meter.create_counter(
            "rar.answers.kept", "{answer}", "Answers of models that were kept from before."
        )


@cache
def _opentelemetry() -> _OpenTelemetry | None:
    try:
        return _OpenTelemetry()
    except (ImportError, TypeError):  # there is none, or one from before advised buckets
        return None


class Part:
    """A part of the work, while it is done: a span, and its duration in a histogram.

    What is raised inside is recorded, without images and keys, and goes on.
    """

    __slots__ = ("_attributes", "_labels", "_model", "_name", "_span", "_start", "_token")

    def __init__(
        self,
        name: str,
        attributes: Mapping[str, Any],
        labels: Mapping[str, Any],
        model: bool = False,
    ) -> None:
        self._name = name
        self._attributes = attributes
        self._labels = labels
        self._model = model

    def __enter__(self) -> Part:
        if api := _opentelemetry():
            kinds = api.trace.SpanKind
            kind = kinds.CLIENT if self._model else kinds.INTERNAL
            self._span = api.tracer.start_span(self._name, None, kind, self._attributes)
            self._token = api.attach(api.trace.set_span_in_context(self._span))
            self._start = perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if not (api := _opentelemetry()):
            return
        labels = self._labels
        if error is not None:
            cause = error.__cause__ if self._model else None  # the provider's own error
            why = type(cause or error).__name__
            said = redacted(str(error))
            labels = {**labels, "error.type": why}
            self._span.set_attribute("error.type", why)
            self._span.set_status(api.trace.Status(api.trace.StatusCode.ERROR, said))
            event = {"exception.type": type(error).__qualname__, "exception.message": said}
            self._span.add_event("exception", event)
        seconds = api.call_seconds if self._model else api.part_seconds
        seconds.record(perf_counter() - self._start, labels)
        api.detach(self._token)
        self._span.end()

    def answered(self, model: str, finish: str, usage: Usage) -> None:
        """Tell what a model answered, and what is billed for it.

        Args:
            model: Its own name for itself.
            finish: Why it stopped.
            usage: Tokens and their cost.
        """
        if not (api := _opentelemetry()):
            return
        told: dict[str, Any] = {"gen_ai.response.model": model}
        if finish:
            told["gen_ai.response.finish_reasons"] = [finish]
        if usage.input_tokens:  # some servers do not count
            for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                told[f"gen_ai.usage.{kind}_tokens"] = tokens
                api.tokens.record(tokens, {**self._labels, "gen_ai.token.type": kind})
        if usage.cost is not None:
            told["rar.cost_usd"] = usage.cost
            api.cost.add(usage.cost, self._labels)
        self._span.set_attributes(told)


def part(name: str, **attributes: str | float | bool) -> Part:
    """A part of a recognition, for a `with` statement, in asynchronous code too.

    Args:
        name: `recognize`, `detect`, `admit`, `propose`, `encode`, `search` or `rank`.
        **attributes: Of its span, told as `rar.<name>`.
    """
    return Part(name, {f"rar.{key}": attributes[key] for key in attributes}, {"rar.part": name})


def model_call(name: str) -> Part:
    """A call of a chat model with all its retries, likewise.

    Args:
        name: `provider:model`.
    """
    provider, _, model = name.partition(":")
    labels = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model,
    }
    return Part(f"chat {model}", labels, labels, model=True)


def count(found: Recognition) -> None:
    """Tell of a recognition: on the span around, and in the metrics."""
    if not (api := _opentelemetry()):
        return
    trace = found.trace
    kept = trace.usage.cached
    told = {f"rar.{name}": value for name, value in described(found).items()}
    api.trace.get_current_span().set_attributes({**told, "rar.cached": kept > 0})
    labels = {"rar.memory": trace.memory}
    decided = {"rar.decision": found.decision, "rar.degraded": trace.degraded}
    api.recognitions.add(1, {**labels, **decided})
    if kept:
        api.kept.add(kept, labels)


def described(found: Recognition) -> dict[str, Any]:
    """What a recognition is found by: where it came from and how it ended, not what it says."""
    trace = found.trace
    told = {
        "memory": trace.memory,
        "generation": trace.generation,
        "encoder": trace.encoder,
        "method": trace.method,
        "ranker": trace.ranker,
        "model": trace.model,
        "prompt": trace.prompt,
        "prompt_hash": trace.prompt_hash,
        "decision": found.decision,
        "probability": found.probability,
        "degraded": trace.degraded,
    }
    return {name: value for name, value in told.items() if value != ""}


def current_trace() -> dict[str, str]:
    """Ids of the span around, in hex, where there is one."""
    api = _opentelemetry()
    span = api.trace.get_current_span().get_span_context() if api else None
    if api is None or span is None or not span.is_valid:
        return {}
    return {
        "trace_id": api.trace.format_trace_id(span.trace_id),
        "span_id": api.trace.format_span_id(span.span_id),
    }
