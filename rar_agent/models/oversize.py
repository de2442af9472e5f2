"""Pictures that are too large for a server: how it says so, and smaller ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from langchain_core.exceptions import ContextOverflowError

from rar_agent.images import Picture
from rar_agent.models.question import Question

LEAST_SIDE = 128
"""Pixels under which pictures are not shrunk: it must be the text that is too long."""

_SHRINK = 2 / 3  # of the side: less than half of the tokens

# No 429: of tokens a minute that are too many, which time mends. LM Studio says it with 200.
_TOLD_WITH = (None, 400, 413, 422, 500)

_TOO_LARGE = re.compile(
    r"context (size|length|window)"  # llama.cpp, Ollama, LM Studio, OpenAI
    r"|maximum model length"  # vLLM
    r"|prompt (is )?too long"  # Ollama, Anthropic
    r"|prompt has \d+ tokens"  # a model in this process
    r"|(image|picture|payload|body|entity|request).{0,80}(too large|too big|exceed)"
    r"|(too many|maximum|max)[ _](image[ _])?pixels|total pixels",
    re.IGNORECASE,
)


def too_large(error: BaseException | None) -> bool:
    """Whether a server says that a request is longer than it takes, in tokens, bytes or pixels."""
    status = getattr(error, "status_code", None)
    if error is None or status not in _TOLD_WITH:
        return False
    if status == 413 or isinstance(error, ContextOverflowError):
        return True
    return _TOO_LARGE.search(str(error)) is not None


def pictures_of(question: Question) -> Sequence[Picture]:
    """Its pictures, in order."""
    parts = [part for message in question.messages for part in message.parts]
    return [part for part in parts if isinstance(part, Picture)]


def largest_side(question: Question) -> int:
    """Longest side of its pictures, in pixels; 0 where it has none."""
    return max((max(p.width, p.height) for p in pictures_of(question)), default=0)


def within(question: Question, side: int | None) -> Question:
    """The question with no picture over a side, in pixels; itself where none is."""
    if side is None or largest_side(question) <= side:
        return question
    messages = tuple(
        replace(
            message,
            parts=tuple(p.within(side) if isinstance(p, Picture) else p for p in message.parts),
        )
        for message in question.messages
    )
    return replace(question, messages=messages)


def shrunk(question: Question) -> Question | None:
    """The question with smaller pictures; None where they are as small as is of use."""
    side = int(largest_side(question) * _SHRINK)
    return within(question, side) if side >= LEAST_SIDE else None
