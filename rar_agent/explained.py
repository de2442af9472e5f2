"""What a model is asked about a photo, or would be, and what it answered: in words and as HTML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rar_agent.images import MIME_TYPE, Picture
from rar_agent.types import Recognition
from rar_agent.words import counted, size

if TYPE_CHECKING:  # the providers' packages take a second to import
    from rar_agent.graph.preview import Preview, Watched
    from rar_agent.models import ChatModel, Exchange, Question

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


def about(recognition: Recognition, seen: Watched) -> Iterator[str]:
    """What went where, a line each.

    Args:
        recognition: What came of it.
        seen: Meanwhile.
    """
    trace, chat, exchanges = recognition.trace, seen.model, seen.exchanges
    tuned = f"as tuned {trace.tuned}" if trace.tuned else "not tuned"
    yield f"encoded by {trace.engine} in {trace.precision} on {trace.device}, {tuned}"
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
        yield f"set for the model: {listed(seen.options)}"
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


def about_preview(preview: Preview) -> Iterator[str]:
    """What would be asked, a line each."""
    prompt, questions = preview.prompt, preview.questions
    number = str(len(preview.candidates))
    if len(preview.candidates) < preview.retrieved:
        number += f" of {preview.retrieved}"
    yield (
        f"{prompt.reference} {prompt.sha256}: {preview.way}, {counted(len(questions), 'question')} "
        f"about {number} candidates of {preview.memory}"
    )
    pictures = [picture for question in questions for picture in _pictures(question)]
    settings = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in prompt.settings.items()
    )
    yield f"{_held(pictures)}; {settings or 'no settings'}"
    if preview.skipped:
        yield f"recognize would not ask this: {preview.skipped.removeprefix('not ranked: ')}"


def heading(number: int, exchanges: Sequence[Exchange]) -> str:
    """Of one of the requests, by its number from 1."""
    exchange = exchanges[number - 1]
    of = ", not sent: answered before" if not exchange.sent else ""
    of = f", sent {exchange.sent} times" if exchange.sent > 1 else of
    return f"request {number} of {len(exchanges)}: {_held(_pictures(exchange.question))}{of}"


def _pictures(question: Question) -> list[Picture]:
    parts = [part for message in question.messages for part in message.parts]
    return [part for part in parts if isinstance(part, Picture)]


def _held(pictures: Sequence[Picture]) -> str:
    return f"{counted(len(pictures), 'picture')}, {size(sum(len(p.jpeg) for p in pictures))}"


def options_of(exchange: Exchange) -> dict[str, Any]:
    """What was sent beside model and messages."""
    flat = {name: value for name, value in exchange.options.items() if name != "extra_body"}
    return {**flat, **exchange.options.get("extra_body", {})}


def listed(options: Mapping[str, Any]) -> str:
    """Options in words; only the values of those that are known to be harmless."""
    return ", ".join(f"{name} {_value(name, value)}" for name, value in options.items())


def _value(name: str, value: object) -> str:
    if name in _HARMLESS:
        return json.dumps(value, default=str)
    if isinstance(value, Mapping) and value:
        return f"{{{listed(value)}}}"
    return "(not shown)"


def as_sent(picture: Picture) -> str:
    """What stands for a picture that was sent."""
    held = f"with {', '.join(picture.metadata)}" if picture.metadata else "no metadata"
    digest = hashlib.sha256(picture.jpeg).hexdigest()[:12]
    return (
        f"JPEG {picture.width}x{picture.height}, {size(len(picture.jpeg))}, {held}, sha256 {digest}"
    )


def as_asked(picture: Picture, photo: Picture) -> str:
    """What stands for a picture that would be sent.

    Args:
        picture: It.
        photo: The one that is asked about.
    """
    kind = "photo" if picture == photo else "exemplar"
    return f"{kind} {picture.width}x{picture.height}, {size(len(picture.jpeg))}"


def came(exchange: Exchange) -> str:
    """What came back, in a few words."""
    answer = exchange.answer
    if answer is None:
        return "no answer"
    usage = answer.usage
    if usage.cached:
        return "answer, kept from before"
    cost = "cost unknown" if usage.cost is None else f"${usage.cost:.6f}"
    return f"answer: {usage.input_tokens}+{usage.output_tokens} tokens, {cost}, {answer.finish}"


def answered(exchange: Exchange) -> str:
    """The answer itself, or the server's refusal."""
    answer = exchange.answer
    if answer is None:
        return exchange.refusal
    lines = [answer.text] if answer.text else []
    for token in answer.tokens:
        likeliest = sorted(token, key=lambda said: -token[said])[:_TOLD]
        lines.append(", ".join(f"{said!r} {token[said]:.2f}" for said in likeliest))
    return "\n".join(lines)


def sent_page(recognition: Recognition, seen: Watched, tag: str = "h2") -> str:
    """HTML of all that was sent and came back, with the pictures; see `about`.

    Args:
        recognition: What came of it.
        seen: Meanwhile.
        tag: Of the headings.
    """
    parts = [f"<p>{escape(line)}</p>" for line in about(recognition, seen)]
    for number, exchange in enumerate(seen.exchanges, start=1):
        parts.append(f"<{tag}>{escape(heading(number, seen.exchanges))}</{tag}>")
        if exchange.options:
            parts.append(f"<p>{escape(listed(options_of(exchange)))}</p>")
        parts.append(messages_page(exchange.question, as_sent, f"request {number}, ", tag))
        parts.append(f"<{tag}>{escape(came(exchange))}</{tag}>")
        parts.append(f"<section><pre>{escape(answered(exchange))}</pre></section>")
    return "\n".join(parts)


def preview_page(preview: Preview, tag: str = "h2") -> str:
    """HTML of what would be asked, with the pictures; see `sent_page`."""
    parts = [f"<p>{escape(line)}</p>" for line in about_preview(preview)]
    for number, question in enumerate(preview.questions, start=1):
        of = f"question {number}, "
        parts.append(messages_page(question, lambda p: as_asked(p, preview.photo), of, tag))
    return "\n".join(parts)


def messages_page(
    question: Question, named: Callable[[Picture], str], of: str, tag: str = "h2"
) -> str:
    """A question's messages as HTML, with their pictures.

    Args:
        question: That is asked.
        named: What stands under a picture.
        of: Said before each role.
        tag: Of the headings.
    """
    parts = []
    for message in question.messages:
        parts.append(f"<{tag}>{escape(of)}{message.role}</{tag}><section>")
        for part in message.parts:
            if isinstance(part, Picture):
                name = escape(named(part))
                parts.append(
                    f'<figure><img src="data:{MIME_TYPE};base64,{part.base64}" alt="picture">'
                    f"<figcaption>{name}</figcaption></figure>"
                )
            else:
                parts.append(f"<pre>{escape(part.strip(chr(10)))}</pre>")
        parts.append("</section>")
    return "\n".join(parts)
