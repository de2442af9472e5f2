"""More pictures than a server takes in a request: how it says so, and questions with fewer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from rar_agent.images import Picture
from rar_agent.models.oversize import pictures_of
from rar_agent.models.question import Question

_TOLD_WITH = (None, 400, 413, 422, 500)

_MANY = r"(?:images|pictures|media)"

_ONE = re.compile(r"supports? (?:only )?(?:a single|one|1) image", re.IGNORECASE)  # Ollama, Mllama

_TOLD = re.compile(
    r"at most (\d+) image"  # vLLM
    r"|image=(\d+) .{0,40}limit-mm-per-prompt"  # vLLM, some models
    rf"|too (?:many|much) {_MANY}.{{0,40}}(?:>|max(?:imum)? is) (\d+)"  # Anthropic, OpenAI
    rf"|{_MANY}.{{0,20}} exceed\w* the (?:maximum|limit) of (\d+)"
    rf"|(?:maximum of|up to) (\d+) {_MANY}",  # GitHub, Groq
    re.IGNORECASE | re.DOTALL,
)

_UNTOLD = re.compile(rf"too many {_MANY}|max(?:imum)? {_MANY} exceeded", re.IGNORECASE)


def too_many(error: BaseException | None) -> bool:
    """Whether a server says that a request has more pictures than it takes."""
    if error is None or getattr(error, "status_code", None) not in _TOLD_WITH:
        return False
    return any(one.search(str(error)) for one in (_TOLD, _ONE, _UNTOLD))


def most_taken(error: BaseException, question: Question) -> int:
    """How many pictures a server takes, as it says; else fewer than it was sent.

    Args:
        error: Of which `too_many` holds.
        question: That was refused.
    """
    sent, told = len(pictures_of(question)), _TOLD.search(str(error))
    most = int(next(filter(None, told.groups()))) if told else 1
    if most < sent and (told or _ONE.search(str(error))):
        return most
    spare = sum(map(len, _groups(question)))
    return sent - spare + spare // 2 if spare else sent // 2


def fewer(question: Question, most: int | None) -> Question:
    """The question with no more pictures, as far as some may be left out; itself where none are.

    Options that show several keep as many each, the first ones: one that shows more than the others
    would look likelier.

    Args:
        question: Some of whose pictures are `optional`.
        most: Pictures that are taken; None: any.
    """
    count = len(pictures_of(question))
    if most is None or count <= most:
        return question
    groups = list(_groups(question))
    room = most - (count - sum(map(len, groups)))
    each = max(
        (n for n in range(max(map(len, groups), default=0) + 1) if _total(groups, n) <= room),
        default=0,
    )
    left_out = {place for group in groups for place in group[each:]}
    messages = tuple(
        replace(
            message,
            parts=tuple(part for j, part in enumerate(message.parts) if (i, j) not in left_out),
        )
        for i, message in enumerate(question.messages)
    )
    return replace(question, messages=messages)


def _total(groups: list[list[tuple[int, int]]], each: int) -> int:
    return sum(min(len(group), each) for group in groups)


def _groups(question: Question) -> Iterator[list[tuple[int, int]]]:
    """Places, by message and part, of optional pictures that stand side by side: an option's."""
    for i, message in enumerate(question.messages):
        group: list[tuple[int, int]] = []
        for j, part in enumerate(message.parts):
            if isinstance(part, Picture) and part.optional:
                group.append((i, j))
            elif group:
                yield group
                group = []
        if group:
            yield group
