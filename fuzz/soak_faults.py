"""A model's server on loopback that answers by a plan: so many faults, then well."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from types import TracebackType
from typing import Any, Literal

from PIL import Image

from rar_agent.images import to_picture
from tests.openai_server import OpenAIServer, Reply, options_of, pictures_of

Outcome = Literal["exact", "repaired", "degraded"]


@dataclass(frozen=True)
class Fault:
    """One way to answer badly.

    Attributes:
        reply: What is sent.
        leads_to: What becomes of it; None: the SDK asks again.
        waits: Whether only a client with little patience notices.
    """

    reply: Reply
    leads_to: Outcome | None = None
    waits: bool = False


_SOON = {"retry-after-ms": "30"}
_LONG = "A" * 5_000
_HALF = b'{"id": "1", "object": "chat.completion", "choices": [{"index": 0, "mess'
_STALL_S = 12.0

FAULTS = {
    "429": Fault(Reply(status=429, headers=_SOON)),
    "500": Fault(Reply(status=500, headers=_SOON)),
    "503": Fault(Reply(status=503)),
    "reset": Fault(Reply(fault="reset")),
    "reset in the middle": Fault(Reply(_LONG, fault="reset late")),
    "half a body, then closed": Fault(Reply(_LONG, fault="cut")),
    "half a JSON": Fault(Reply(body=_HALF), "degraded"),
    "HTML": Fault(Reply(body=b"<html>"), "degraded"),
    "no choices": Fault(Reply(body=b"{}"), "degraded"),
    "null": Fault(Reply(body=b"null"), "degraded"),
    "nonsense": Fault(Reply("What a beautiful photo!"), "degraded"),
    "refusal": Fault(Reply("no", refusal="I will not."), "degraded"),
    "empty": Fault(Reply(""), "degraded"),
    "a letter twice": Fault(Reply('{"ranking": ["B", "B", "A", "C", "D", "E", "F"]}'), "repaired"),
    "a name invented": Fault(
        Reply('{"ranking": ["B", "Dodo", "A", "C", "D", "E", "F"]}'), "repaired"
    ),
    "stall": Fault(Reply(delay_s=_STALL_S), waits=True),
    "drip": Fault(Reply(_LONG, fault="drip"), waits=True),
}
"""By name."""


class Provider:
    """The server, and what it is to answer about each picture. Thread-safe."""

    RETRIES = 1
    HASTY_S = 4.0
    """Patience of a client that notices what waits; on a busy machine a good answer takes less."""

    def __init__(self) -> None:
        self._server = OpenAIServer()
        self._server.answer = self._answer  # called by one thread at a time
        self._plans: dict[str, list[str]] = {}
        self.asked = Counter[str]()
        """Requests by the hash of their picture, since `forget`."""

    def __enter__(self) -> Provider:
        self._server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.__exit__()

    @property
    def url(self) -> str:
        """Where it is."""
        return self._server.url

    def plan(self, image: Image.Image, faults: Sequence[str]) -> str:
        """Answer the next requests about an image badly, and those after them well.

        Returns:
            The hash of its picture.
        """
        mark = sha256(to_picture(image).jpeg).hexdigest()
        self._plans[mark] = list(faults)
        return mark

    def forget(self) -> None:
        """Forget what was asked, and all plans."""
        self._plans.clear()
        self.asked.clear()
        for kept in (self._server.requests, self._server.received, self._server.times):
            kept.clear()

    def settle(self, limit_s: float = 2 * _STALL_S) -> None:
        """Wait until no request is being answered."""
        end = time.monotonic() + limit_s
        while self._server.open and time.monotonic() < end:
            time.sleep(0.01)

    def _answer(self, request: dict[str, Any]) -> Reply:
        mark = sha256(pictures_of(request)[-1]).hexdigest()
        self.asked[mark] += 1
        plan = self._plans.get(mark)
        return FAULTS[plan.pop(0)].reply if plan else _well(request, mark)


def _well(request: dict[str, Any], mark: str) -> Reply:
    """An answer that only this picture has."""
    letters = {name: letter for letter, name in options_of(request).items()}
    names = sorted(letters)
    Random(mark).shuffle(names)
    return Reply(json.dumps({"ranking": [letters[name] for name in names]}))


def outcome(faults: Sequence[str]) -> tuple[Outcome, int]:
    """What must become of a request by its plan, and how many requests that takes."""
    for number, name in enumerate(faults):
        leads_to = FAULTS[name].leads_to
        if leads_to is not None:
            return leads_to, number + 1
        if number == Provider.RETRIES:
            return "degraded", number + 1
    return "exact", len(faults) + 1
