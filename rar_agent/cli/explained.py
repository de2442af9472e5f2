"""What went to a model about one photo, and what came back: as text and as a page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from rich.text import Text

from rar_agent.cli.rendered import messages_page, messages_text, whole_page
from rar_agent.cli.show import counted, size
from rar_agent.graph.preview import Watched
from rar_agent.images import Picture
from rar_agent.models import ChatModel, Exchange
from rar_agent.types import Recognition

_HARMLESS = {
    *("temperature", "top_p", "top_k", "min_p", "seed", "stop", "n", "stream", "response_format"),
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "num_ctx"),
    *("logprobs", "top_logprobs", "scored", "reasoning_effort", "effort", "verbosity"),
    *("enable_thinking", "thinking_budget", "budget_tokens", "timeout", "max_retries"),
    *("frequency_penalty", "presence_penalty", "repetition_penalty", "parallel_tool_calls"),
}
"""Options whose values are shown; in any other may be a key, a password or a proxy's."""

_TOLD = 5
"""Log-probabilities that are shown of a token."""


def text(recognition: Recognition, seen: Watched) -> Text:
    """For a terminal.

    Args:
        recognition: What came of it.
        seen: Meanwhile.
    """
    whole = Text()
    exchanges = seen.exchanges
    for line in _about(recognition, seen):
        whole.append(f"\n{line}", style="dim")
    for number, exchange in enumerate(exchanges, start=1):
        whole.append(f"\n\n=== {_heading(number, exchanges)}\n", style="bold")
        whole.append(f"{_listed(options_of(exchange))}\n" if exchange.options else "", style="dim")
        whole.append(messages_text(exchange.question, _named))
        whole.append(f"\n--- {_came(exchange)}\n", style="bold")
        whole.append(_answered(exchange))
    return whole


def page(recognition: Recognition, seen: Watched) -> str:
    """A page of HTML that holds the pictures; see `text`."""
    exchanges = seen.exchanges
    parts = [f"<p>{escape(line)}</p>" for line in _about(recognition, seen)]
    for number, exchange in enumerate(exchanges, start=1):
        heading = _heading(number, exchanges)
        parts.append(f"<h2>{escape(heading)}</h2>")
        parts.append(f"<p>{escape(_listed(options_of(exchange)))}</p>" if exchange.options else "")
        parts.append(messages_page(exchange.question, _named, f"request {number}, "))
        answer = escape(_answered(exchange))
        parts.append(f"<h2>{escape(_came(exchange))}</h2><section><pre>{answer}</pre></section>")
    return whole_page("What was sent", parts)


def options_of(exchange: Exchange) -> dict[str, Any]:
    """What was sent beside model and messages."""
    flat = {name: value for name, value in exchange.options.items() if name != "extra_body"}
    return {**flat, **exchange.options.get("extra_body", {})}


def _about(recognition: Recognition, seen: Watched) -> Iterator[str]:
    trace, chat, exchanges = recognition.trace, seen.model, seen.exchanges
    if chat is None:
        yield "Nothing was sent anywhere: no model is set, and retrieval runs in this process."
        return
    if not exchanges:
        why = (trace.reason or trace.abstained).removeprefix("not ranked: ")
        yield f"Nothing was sent to {chat.name}: {why}."
        yield "To ask it always: RAR_SKIP_RANKING_AT=1.01."
        return
    sent = sum(exchange.sent for exchange in exchanges)
    if not sent:
        yield f"Nothing was sent to {chat.name}: it answered this before."
        return
    requests = counted(sent, "request")
    if chat.name.startswith("local:"):
        yield f"{requests} to {chat.name} in this process: nothing left this machine"
    else:
        yield f"{requests} to {chat.name} {destination(chat)}, and nothing else"
        yield "beside these: the key, and what the HTTP client says of itself"
    if seen.options:
        yield f"set for the model: {_listed(seen.options)}"
    yield f"read from the answers: {trace.ranker}, {trace.parse_status}"


def destination(chat: ChatModel) -> str:
    """Where a model's requests go, in words; without what may be secret in the URL."""
    url = urlsplit(chat.server.partition(" ")[0])
    if not url.hostname:
        return "at its provider's server"
    place = url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="").geturl()
    return f"at {place} (this machine)" if _here(url.hostname) else f"at {place}"


def _here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _heading(number: int, exchanges: Sequence[Exchange]) -> str:
    exchange = exchanges[number - 1]
    pictures = [
        part
        for message in exchange.question.messages
        for part in message.parts
        if isinstance(part, Picture)
    ]
    held = f"{counted(len(pictures), 'picture')}, {size(sum(len(p.jpeg) for p in pictures))}"
    of = ", not sent: answered before" if not exchange.sent else ""
    of = f", sent {exchange.sent} times" if exchange.sent > 1 else of
    return f"request {number} of {len(exchanges)}: {held}{of}"


def _listed(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(name, value)}" for name, value in options.items())


def _value(name: str, value: object) -> str:
    if name in _HARMLESS:
        return json.dumps(value, default=str)
    if isinstance(value, Mapping) and value:
        return f"{{{_listed(value)}}}"
    return "(not shown)"


def _named(picture: Picture) -> str:
    held = f"with {', '.join(picture.metadata)}" if picture.metadata else "no metadata"
    digest = hashlib.sha256(picture.jpeg).hexdigest()[:12]
    return (
        f"JPEG {picture.width}x{picture.height}, {size(len(picture.jpeg))}, {held}, sha256 {digest}"
    )


def _came(exchange: Exchange) -> str:
    answer = exchange.answer
    if answer is None:
        return "no answer"
    usage = answer.usage
    if usage.cached:
        return "answer, kept from before"
    cost = "cost unknown" if usage.cost is None else f"${usage.cost:.6f}"
    return f"answer: {usage.input_tokens}+{usage.output_tokens} tokens, {cost}, {answer.finish}"


def _answered(exchange: Exchange) -> str:
    answer = exchange.answer
    if answer is None:
        return exchange.refusal
    lines = [answer.text] if answer.text else []
    for token in answer.tokens:
        likeliest = sorted(token, key=lambda said: -token[said])[:_TOLD]
        lines.append(", ".join(f"{said!r} {token[said]:.2f}" for said in likeliest))
    return "\n".join(lines)
