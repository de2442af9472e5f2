"""What went to a model and what came back, for whoever wants to see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rar_agent.models.question import Answer, Question


@dataclass(frozen=True)
class Exchange:
    """One request, and what came of it.

    Attributes:
        question: Whose messages were sent, with the pictures as they were sent.
        options: Sent beside the messages: as OpenAI's SDK sent them, else as LangChain was told.
        answer: None where the request was refused.
        refusal: The server's words, where it was.
        sent: How often it was sent, by OpenAI's SDK or to another provider's package; 0 where the
            answer was kept from before.
    """

    question: Question
    options: Mapping[str, Any] = field(default_factory=dict)
    answer: Answer | None = None
    refusal: str = ""
    sent: int = 1
