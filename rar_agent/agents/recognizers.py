"""What tools ask: one recognizer, and others like it for what a call or a run names."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from langchain.tools import ToolRuntime
from langgraph.runtime import Runtime

from rar_agent.agents.knowledge import require_memory
from rar_agent.errors import InputError
from rar_agent.forks import Lock
from rar_agent.graph.services import WAYS
from rar_agent.prompts import find_prompt
from rar_agent.recognizer import Recognizer

_MOST = 32  # kept, of what the users of a server name


@dataclass(frozen=True)
class AgentContext:
    """Given with an agent's run; every field may be left out. Yours may be a dataclass below it.

    Attributes:
        memory: Name of the memory that the tools ask; None: the settings' one.
        ranker: How the ranking model ranks, as the setting of that name.
        prompt: Ranking prompt, as `name@version`.
    """

    memory: str | None = None
    ranker: str | None = None
    prompt: str | None = None


class Recognizers:
    """A recognizer, and others like it. Thread-safe.

    Args:
        first: What is asked where nothing else is named; default: one from the settings.
    """

    def __init__(self, first: Recognizer | None = None) -> None:
        self._first = first
        self._known: OrderedDict[AgentContext, Recognizer] = OrderedDict()
        self._lock = Lock()

    def of(
        self, memory: str | None = None, runtime: ToolRuntime | Runtime[Any] | None = None
    ) -> Recognizer:
        """The recognizer to ask, with the newest generation of its memory.

        Args:
            memory: Its name; None: the run's.
            runtime: Of the run, whose context may be an `AgentContext`.

        Raises:
            InputError: There is no such memory, ranker or prompt.
            ConfigurationError: A setting is not valid.
        """
        wanted = context_of(runtime)
        if memory is not None:
            wanted = AgentContext(memory, wanted.ranker, wanted.prompt)
        with self._lock:
            if self._first is None:
                self._first = Recognizer()
            found = self._known.get(wanted) or self._new(self._first, wanted)
            self._known[wanted] = found
            self._known.move_to_end(wanted)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        found.refresh()
        return found

    @staticmethod
    def _new(first: Recognizer, wanted: AgentContext) -> Recognizer:
        own = wanted.memory in (None, first.settings.memory)
        if own and wanted.ranker is None and wanted.prompt is None:
            return first
        memory = require_memory(first.settings, wanted.memory)
        if wanted.ranker is not None and wanted.ranker not in WAYS:
            raise InputError(f"Ranker {wanted.ranker!r} is unknown.", f"Give {', '.join(WAYS)}.")
        if wanted.prompt is not None:
            find_prompt(wanted.prompt, first.settings.home)
        found = Recognizer(
            memory, settings=first.settings, ranker=wanted.ranker, prompt=wanted.prompt
        )
        found.services.remote = first.services.remote
        _ = found.memory, found.services.ranker  # what cannot be used is not kept
        return found


def context_of(runtime: ToolRuntime | Runtime[Any] | None) -> AgentContext:
    """What a run chooses; nothing, where its context is its program's own.

    Raises:
        InputError: A field is no string.
    """
    given = runtime.context if runtime else None
    if not isinstance(given, AgentContext):
        return AgentContext()
    chosen = AgentContext(given.memory, given.ranker, given.prompt)
    for name, one in vars(chosen).items():
        if one is not None and not isinstance(one, str):  # a server's client may send anything
            wrong = f"'{name}' = {one!r:.100} in the context is not valid."
            raise InputError(wrong, "Give a name, or leave it out.")
    return chosen
