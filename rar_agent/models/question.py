"""What a chat model is asked and what it says, and when an answer may be used again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from rar_agent.images import Picture
from rar_agent.prompts import Message
from rar_agent.types import Usage

_KEY_VERSION = 1
"""Of what answers to a key mean: a higher one leaves all that were kept behind."""

_BYTES_A_TOKEN, _PIXELS_A_TOKEN, _ANSWER_TOKENS = 2, 375, 1_000

_ENDED = frozenset({"stop", "end_turn", "stop_sequence", "complete", "eos", "eos_token"})
"""Reasons for stopping, as providers call them, of an answer that is at its end."""


@dataclass(frozen=True)
class Question:
    """What a model is asked.

    Attributes:
        messages: In order; the last is the user's.
        settings: `temperature`, `max_tokens`, `stop`.
        schema: JSON schema of the answer, used where the server takes one.
        letters: Of the options, where the log-probabilities of these letters as the first token
            are all that is wanted; empty where the answer is to be written out.
    """

    messages: Sequence[Message]
    settings: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    letters: tuple[str, ...] = ()

    @property
    def repeatable(self) -> bool:
        """Whether one answer is as good as the next: no temperature above 0 is asked for."""
        return not self.settings.get("temperature")

    @property
    def most_tokens(self) -> tuple[int, int]:
        """Tokens that it and its answer hardly exceed, where a provider never said how many.

        Twice what is usual: a token for two bytes of text, and for 375 pixels of a picture
        (https://docs.claude.com/en/docs/build-with-claude/vision: width x height / 750).
        """
        sent = 0.0
        for message in self.messages:
            for part in message.parts:
                if isinstance(part, Picture):
                    sent += part.width * part.height / _PIXELS_A_TOKEN
                else:
                    sent += len(part.encode()) / _BYTES_A_TOKEN
        return int(sent) + 1, int(self.settings.get("max_tokens") or _ANSWER_TOKENS)

    def key(self, model: str, server: str) -> bytes:
        """sha256 of all that an answer depends on.

        Args:
            model: Its name.
            server: Where it is asked.
        """
        asked = [
            [message.role, [_content(part) for part in message.parts]] for message in self.messages
        ]
        whole = [_KEY_VERSION, model, server, asked, dict(self.settings), self.schema, self.letters]
        return hashlib.sha256(json.dumps(whole, default=repr).encode()).digest()


def _content(part: str | Picture) -> str | list[str]:
    if isinstance(part, Picture):
        return [hashlib.sha256(part.jpeg).hexdigest()]
    return part


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        text: The answer; empty where it refused.
        usage: Tokens billed, and what they cost.
        model: The model's own name for itself, else the asked name.
        finish: The provider's reason for stopping; `refusal` where it refused.
        tokens: Of each token of the answer, the log-probabilities of it and its alternatives;
            empty where they were not asked for, or the server does not say.
        few_tokens: Whether it was cut off after a few tokens, because no more were asked for.
    """

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="constants")  # -inf is a log-probability

    text: str
    usage: Usage
    model: str
    finish: str
    tokens: tuple[Mapping[str, float], ...] = ()
    few_tokens: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is all that was asked for: not empty, refused or cut off."""
        if self.few_tokens:
            return bool(self.tokens)
        return bool(self.text.strip()) and self.finish.casefold() in _ENDED

    @property
    def again(self) -> Answer:
        """The same answer to somebody who pays nothing for it."""
        return replace(self, usage=self.usage.again)

    def to_json(self) -> str:
        """As it is kept."""
        return _FORM.dump_json(self).decode()


_FORM = TypeAdapter(Answer)


def answer_of(text: str) -> Answer | None:
    """An answer that was kept; None where the text is none."""
    try:
        return _FORM.validate_json(text)
    except ValidationError:
        return None
