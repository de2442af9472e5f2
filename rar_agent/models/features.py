"""What a request is sent with beside its messages, and which of it a refusal is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.exceptions import ModelInvalidRequestError

from rar_agent.models.capabilities import Feature
from rar_agent.models.question import Question

TOP_LOGPROBS = 20
"""Alternatives asked for at each token; 20 is OpenAI's most, and vLLM's by default."""

FEW_TOKENS = 3
"""Asked for where a letter's log-probability is read: one, and what some models say before it."""

_WORDS: Mapping[Feature, tuple[str, ...]] = {
    "schema": ("response_format", "json_schema", "schema", "grammar"),
    "logprobs": ("logprobs", "top_logprobs"),
    "temperature": ("temperature",),
    "max_tokens": ("max_tokens",),
}


def wanted(question: Question) -> list[Feature]:
    """What would help to answer a question."""
    found: list[Feature] = ["schema"] if question.schema else []
    found += ["logprobs"] if question.letters else []
    found += ["temperature"] if "temperature" in question.settings else []
    found += ["max_tokens"] if question.letters or "max_tokens" in question.settings else []
    return found


def options_with(
    features: Sequence[Feature], question: Question, body: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What is sent beside the messages, as LangChain's packages name it.

    Args:
        features: That are sent.
        question: With its settings, schema and letters.
        body: What the model sends in every request's body besides.
    """
    options = {k: v for k, v in question.settings.items() if k != "temperature"}
    extra: dict[str, Any] = {}
    if "temperature" in features:
        options["temperature"] = question.settings["temperature"]
    if "logprobs" in features:
        options |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS, "max_tokens": FEW_TOKENS}
    if "schema" in features:
        form = {"name": "answer", "strict": True, "schema": question.schema}
        # with_structured_output raises on truncation, refusal and bad JSON; this never does.
        extra["response_format"] = {"type": "json_schema", "json_schema": form}
    if "max_tokens" in features and "max_tokens" in options:
        extra["max_tokens"] = options.pop("max_tokens")  # LangChain sends the newer name
    if extra:
        options["extra_body"] = {**(body or {}), **extra}
    return options


def is_refusal(error: Exception) -> bool:
    """Whether the request itself was refused, perhaps for a feature."""
    status = getattr(error, "status_code", None)
    return isinstance(error, ModelInvalidRequestError) or status in (400, 422, 501)


def names(error: Exception, feature: Feature) -> bool:
    """Whether a refusal speaks of a feature."""
    text = str(error).casefold()
    return any(word in text for word in _WORDS[feature])
