"""Messages as LangChain has them, there and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import PrivateAttr

from rar_agent.images import MIME_TYPE, Picture
from rar_agent.prompts import Message

_FINISH = ("finish_reason", "stop_reason", "stopReason", "done_reason")
"""Where providers say why an answer ended."""


class _Untraced(HumanMessage):
    """Sent with its pictures, and written down without them: tracers get `to_json`."""

    _written: list[str | dict[str, Any]] = PrivateAttr()

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """As another message, whose pictures are their hashes."""
        return HumanMessage(content=self._written).to_json()


def as_langchain(messages: Sequence[Message], traced: bool = True) -> list[BaseMessage]:
    """Messages as LangChain sends them: pictures in base64.

    Args:
        messages: In order.
        traced: Whether LangSmith's tracer and others that write messages down get the pictures too.
    """
    sent: list[BaseMessage] = []
    for message in messages:
        blocks: list[str | dict[str, Any]] = [
            {"type": "image", "base64": part.base64, "mime_type": MIME_TYPE}
            if isinstance(part, Picture)
            else {"type": "text", "text": part}
            for part in message.parts
        ]
        if message.role == "user":
            sent.append(HumanMessage(content=blocks) if traced else _Untraced(content=blocks))
            if isinstance(sent[-1], _Untraced):
                sent[-1]._written = [{"type": "text", "text": _named(p)} for p in message.parts]
        else:
            kind = SystemMessage if message.role == "system" else AIMessage
            sent.append(kind(content=message.text))
    return sent


def _named(part: str | Picture) -> str:
    """A part in words; the hash keeps LangChain's cache from taking one picture for another."""
    if isinstance(part, str):
        return part
    hashed = hashlib.sha256(part.jpeg).hexdigest()
    return f"[{MIME_TYPE}, {part.width} x {part.height}, sha256 {hashed}]"


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
