"""A rendered message: texts and pictures in the order in which a model reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rar_agent.images import Picture

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """What is said to a model at one time.

    Attributes:
        role: Who says it.
        parts: Texts, and pictures where the template has them.
    """

    role: Role
    parts: tuple[str | Picture, ...]

    @property
    def text(self) -> str:
        """The texts alone."""
        return "".join(part for part in self.parts if isinstance(part, str))
