"""Messages as LangChain has them, there and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from rar_agent.images import MIME_TYPE, Picture
from rar_agent.prompts import Message

_FINISH = ("finish_reason", "stop_reason", "stopReason", "done_reason")
"""Where providers say why an answer ended."""


def as_langchain(messages: Sequence[Message]) -> list[BaseMessage]:
    """Messages as LangChain sends them: pictures in base64."""
    sent: list[BaseMessage] = []
    for message in messages:
        blocks: list[str | dict[str, Any]] = [
            {"type": "image", "base64": part.base64, "mime_type": MIME_TYPE}
            if isinstance(part, Picture)
            else {"type": "text", "text": part}
            for part in message.parts
        ]
        if message.role == "user":
            sent.append(HumanMessage(content=blocks))
        else:
            kind = SystemMessage if message.role == "system" else AIMessage
            sent.append(kind(content=message.text))
    return sent


def finish_of(message: AIMessage) -> str:
    """Why an answer ended, in its provider's word; `refusal` where the model refused."""
    metadata = message.response_metadata
    if message.additional_kwargs.get("refusal"):
        return "refusal"
    return str(next((metadata[key] for key in _FINISH if metadata.get(key)), ""))


def tokens_of(message: AIMessage) -> tuple[Mapping[str, float], ...]:
    """Log-probabilities of each token and its alternatives, in OpenAI's form.

    A server may have left them out, or have filled them with something else.
    """
    logprobs = message.response_metadata.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    found = []
    for token in content if isinstance(content, list) else ():
        if not isinstance(token, Mapping):
            continue
        tops = token.get("top_logprobs")
        alternatives: dict[str, float] = {}
        for entry in (*(tops if isinstance(tops, list) else ()), token):
            text, logprob = _entry(entry)
            if isinstance(text, str) and isinstance(logprob, int | float):
                alternatives.setdefault(text, float(logprob))
        found.append(alternatives)
    return tuple(found)


def _entry(entry: object) -> tuple[object, object]:
    return (entry.get("token"), entry.get("logprob")) if isinstance(entry, Mapping) else (0, "")
