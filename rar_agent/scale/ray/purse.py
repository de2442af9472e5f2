"""What a run may spend, kept by an actor of its own: it outlives those that spend."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from rar_agent.errors import BudgetError
from rar_agent.loop import promise
from rar_agent.models.budget import Budget
from rar_agent.scale.ray.cluster import load_ray

_AGAIN_S = 0.1
"""After which it is tried again to hold money, where calls of others decide on how much is left."""


class Ledger:
    """The actor: one budget for all, and who holds how much of it.

    Args:
        limit: US dollars.
    """

    def __init__(self, limit: float) -> None:
        self._budget = Budget(limit)
        self._held: dict[str, list[tuple[str, float, float]]] = {}

    def began(self, who: str) -> None:
        """An actor began, maybe anew: what it held then may have been spent."""
        for model, held, at_most in self._held.pop(who, []):
            self._budget.drop(model, held, 1, at_most)

    def hold(self, who: str, model: str, at_most: float) -> tuple[float | None, str, str]:
        """Hold money for a call: how much, or None for now; or why there is none."""
        try:
            held = self._budget.hold(model, at_most)
        except BudgetError as error:
            return None, error.message, error.fix
        if isinstance(held, Future):
            return None, "", ""
        self._held.setdefault(who, []).append((model, held, at_most))
        return held, "", ""

    def settle(self, who: str, model: str, held: float, cost: float | None) -> None:
        """See `Budget.settle`."""
        self._free(who, model, held)
        self._budget.settle(model, held, cost)

    def drop(self, who: str, model: str, held: float, requests: int, at_most: float) -> None:
        """See `Budget.drop`."""
        self._free(who, model, held)
        self._budget.drop(model, held, requests, at_most)

    def add(self, model: str, requests: int, at_most: float) -> None:
        """See `Budget.add`."""
        self._budget.add(model, requests, at_most)

    def _free(self, who: str, model: str, held: float) -> None:
        mine = self._held.get(who, [])
        at = next((i for i, one in enumerate(mine) if one[:2] == (model, held)), None)
        if at is not None:
            del mine[at]


class Purse:
    """A handle of the ledger, to be sent to actors.

    Args:
        limit: US dollars that the whole run may spend. Ray has to be attached to.
    """

    def __init__(self, limit: float) -> None:
        ray = load_ray()
        self._ledger = ray.remote(num_cpus=0, max_concurrency=1)(Ledger).remote(limit)

    def ask(self, what: str, *given: object) -> Any:  # noqa: ANN401
        """What the ledger answers."""
        return load_ray().get(getattr(self._ledger, what).remote(*given))


class SharedBudget(Budget):
    """The run's budget, in one of its actors.

    Args:
        purse: Where it is kept.
        limit: US dollars, for messages.
    """

    def __init__(self, purse: Purse, limit: float) -> None:
        super().__init__(limit)
        self._purse = purse
        self._me: str = load_ray().get_runtime_context().get_actor_id() or ""
        purse.ask("began", self._me)

    def hold(self, model: str, at_most: float = 0.0) -> float | Future[None]:
        """See `Budget.hold`."""
        held, wrong, fix = self._purse.ask("hold", self._me, model, at_most)
        if wrong:
            raise BudgetError(wrong, fix)
        if held is not None:
            return float(held)
        later: Future[None] = promise()
        threading.Timer(_AGAIN_S, _resolve, (later,)).start()
        return later

    def settle(self, model: str, held: float, cost: float | None) -> None:
        """See `Budget.settle`."""
        self._purse.ask("settle", self._me, model, held, cost)

    def drop(self, model: str, held: float, requests: int, at_most: float) -> None:
        """See `Budget.drop`."""
        self._purse.ask("drop", self._me, model, held, requests, at_most)

    def add(self, model: str, requests: int, at_most: float) -> None:
        """See `Budget.add`."""
        if requests:
            self._purse.ask("add", model, requests, at_most)


def _resolve(later: Future[None]) -> None:
    with suppress(Exception):  # who waited has left
        later.set_result(None)
