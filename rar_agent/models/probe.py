"""What a model's server does: whether it is there, for nothing, and what it takes, by asking it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from langchain_openai.chat_models.base import BaseChatOpenAI
from openai import NotFoundError
from openai.types import Model
from PIL import Image

from rar_agent.errors import BudgetError, ProviderError
from rar_agent.images import to_picture
from rar_agent.loop import run
from rar_agent.models.ask import ChatModel, ScoresOptions
from rar_agent.models.capabilities import Finding
from rar_agent.models.features import FEW_TOKENS
from rar_agent.models.question import Answer, Question
from rar_agent.prompts import Message
from rar_agent.telemetry import redacted
from rar_agent.types import Usage, sum_usage

_ASKED = "Which colour is this picture? A: red. B: blue. Answer with one letter, and nothing else."
_TINY = 64  # pixels: few tokens with every provider
_LETTERS = ("A", "B")
_KEY = "colour_letter"  # named in the schema alone
_SCHEMA = {
    "type": "object",
    "properties": {_KEY: {"type": "string", "enum": list(_LETTERS)}},
    "required": [_KEY],
    "additionalProperties": False,
}
_THOUGHT = 20
"""Tokens of an answer of one letter, over which the model thinks before it answers."""


_SEES = "Take a model that takes images."
_WORDS = "Rank by lists (--ranker listwise): letters count by fixed odds here."
_THINKS = (
    'Where it need not: model_options = {reasoning_effort = "minimal"} in rar.toml, '
    "or what its server calls it."
)


def unreachable(chat: ChatModel) -> str | None:
    """Why the model cannot be used, or None if nothing speaks against it.

    OpenAI-compatible servers are asked for their list of models; other providers are not asked.
    """
    model = chat.model
    if not isinstance(model, BaseChatOpenAI):
        return None
    try:
        listed = run(_listed(model))
    except NotFoundError:  # it lists none
        return None
    except Exception as error:  # any failure of the request is the answer
        return f"{type(error).__name__}: {' '.join(redacted(str(error)).split())[:200]}"
    if any(entry.owned_by == "llamacpp" for entry in listed):  # it has one, by whatever name
        return None
    known = [entry.id for entry in listed]
    name = model.model_name
    if known and name not in known and f"{name}:latest" not in known:  # as Ollama's are called
        return f"the server has no '{name}', but {', '.join(known[:5])}"
    return None


async def _listed(model: BaseChatOpenAI) -> list[Model]:
    """Over the client that questions go over, so that no more is told of this machine."""
    client = model.root_async_client.with_options(timeout=5.0, max_retries=0)
    return [entry async for entry in client.models.list()]


def probe(chat: ChatModel, image_side: int) -> Usage:
    """Ask a few tiny questions about a red picture, and keep what they show.

    What is found takes the place of all that `chat.capabilities` knew.

    Args:
        chat: The model.
        image_side: Side of the largest picture that is to be sent, in pixels.

    Returns:
        What was billed for it.

    Raises:
        ProviderError: It answers nothing at all, or fails on the way.
    """
    fresh = chat.anew()
    try:
        plain = fresh.ask(_question(_TINY, settings={"temperature": 0}))
    except BudgetError:
        raise
    except ProviderError as error:
        usage = fresh.ask(_question(0)).usage  # else it is not the picture that it refuses
        chat.capabilities.found([_finding("pictures", error.message, _SEES)], fresh.capabilities)
        return usage
    formed = fresh.ask(_question(_TINY, schema=_SCHEMA))
    scored = fresh.ask(_question(_TINY, letters=_LETTERS))
    large = fresh.ask(_question(image_side))
    found = [
        _pictures(plain),
        _side(fresh, image_side),
        _finding(
            "temperature", "refused" if "temperature" in fresh.capabilities.refused else "0 taken"
        ),
        _schema(fresh, formed),
        _logprobs(fresh, scored),
        *_tokens(fresh, plain, scored),
    ]
    if found[4].fix:
        fresh.capabilities.refuse(["logprobs"])  # they would be asked for in vain
    chat.capabilities.found(found, fresh.capabilities)
    return sum_usage(answer.usage for answer in (plain, formed, scored, large))


def _question(side: int, **given: Any) -> Question:  # noqa: ANN401
    picture = (to_picture(Image.new("RGB", (side, side), "red"), side),) if side else ()
    return Question((Message("user", (*picture, _ASKED)),), **given)


def _finding(what: str, found: str, fix: str = "") -> Finding:
    return Finding(what=what, found=found, fix=fix)


def _pictures(answer: Answer) -> Finding:
    said = " ".join(answer.text.split())
    if re.search(r"\bA\b|\bred\b", said):
        return _finding("pictures", "seen: red is called red")
    return _finding("pictures", f"taken, but red is called '{said[:60] or answer.finish}'", _SEES)


def _side(chat: ChatModel, asked: int) -> Finding:
    side = chat.capabilities.side(1)
    if side is None:
        return _finding("largest picture", f"{asked} pixels a side, as RAR_IMAGE_SIDE says")
    return _finding("largest picture", f"{side} pixels a side: larger ones are shrunk")


def _schema(chat: ChatModel, answer: Answer) -> Finding:
    if not chat.takes("schema"):
        return _finding("JSON schema", "not taken: answers are read in whatever form they come")
    try:
        kept = _KEY in json.loads(answer.text)
    except (ValueError, TypeError):
        kept = False
    return _finding("JSON schema", "kept to" if kept else "taken, and ignored: no harm done")


def _logprobs(chat: ChatModel, answer: Answer) -> Finding:
    what = "log-probabilities"
    if isinstance(chat.model, ScoresOptions):
        return _finding(what, "exact")
    if not chat.takes("logprobs"):
        return _finding(what, "refused", _WORDS)
    said = [max(token, key=lambda text: token[text]) for token in answer.tokens if token]
    if not said:
        return _finding(what, "taken, and not told", _WORDS)
    if said[0].strip(" \n(*\"'") not in _LETTERS:
        return _finding(what, f"of another beginning than the letter: {said[0]!r}", _WORDS)
    return _finding(what, f"told: {len(answer.tokens[0])} alternatives")


def _tokens(chat: ChatModel, plain: Answer, scored: Answer) -> Iterator[Finding]:
    if isinstance(chat.model, ScoresOptions):
        return
    if scored.tokens and scored.usage.output_tokens > FEW_TOKENS:
        yield _finding("limit on tokens", f"ignored: {scored.usage.output_tokens} for a letter")
    if plain.usage.output_tokens > _THOUGHT:
        words = f"{plain.usage.output_tokens} tokens for a letter: it thinks before it answers"
        yield _finding("thinking", words, _THINKS)
