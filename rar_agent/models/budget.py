"""A limit on what is spent."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from rar_agent.errors import BudgetError
from rar_agent.forks import OfProcess, Once
from rar_agent.loop import promise

MARGIN = 4
"""How much dearer than all before it a call may be, for several at once to be sure of the limit."""


class Budget(OfProcess):
    """US dollars that may be spent, by all who share the object. Thread-safe.

    A call is sent only while there is room for its model's dearest call so far, and beside others
    only while there is room for `MARGIN` times as much for each; a model's first call goes alone.
    So the limit is missed by what a single call costs more than the dearest before it, unless one
    costs more than `MARGIN` times as much.

    Args:
        limit: US dollars.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._spent = 0.0
        self._dearest: dict[str, float] = {}
        super().__init__()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._held: list[float] = []
        self._waiting: list[Future[None]] = []

    @property
    def spent(self) -> float:
        """US dollars spent so far."""
        return self._spent

    def hold(self, model: str, at_most: float = 0.0) -> float | Future[None]:  # noqa: ARG002
        """Hold money for a call.

        Args:
            model: Name of the model.
            at_most: US dollars that it may cost, see `add`: for a budget that outlives who asks.

        Returns:
            What is held, to be given to `settle`; or, while it depends on calls that are on their
            way, what to wait for before trying again.

        Raises:
            BudgetError: There is too little left.
        """
        with self._lock:
            left = self.limit - self._spent
            price = self._dearest.get(model)
            if left <= 0 or (price is not None and price > left):
                raise self._exhausted(price)
            wanted = left if price is None else MARGIN * price
            wanted = wanted if self._held else min(wanted, left)
            if sum(self._held) + wanted <= left:
                self._held.append(wanted)
                return wanted
            self._waiting.append(promise())
            return self._waiting[-1]

    def settle(self, model: str, held: float, cost: float | None) -> None:
        """Count an answer.

        Args:
            model: Name of the model.
            held: What `hold` held for it.
            cost: US dollars; None where that is not known: then all that was held counts.
        """
        spent = held if cost is None else cost
        with self._lock:
            self._dearest[model] = max(self._dearest.get(model, 0.0), spent)
        self._free(held, spent)

    def drop(self, model: str, held: float, requests: int, at_most: float) -> None:
        """End a call that was not answered.

        Args:
            model: Name of the model.
            held: What `hold` held for it.
            requests: That may be billed all the same, see `add`.
            at_most: US dollars that one may cost, see `add`.
        """
        self.add(model, requests, at_most)
        self._free(held, 0.0)

    def add(self, model: str, requests: int, at_most: float) -> None:
        """Count requests that were never answered, and may be billed.

        Args:
            model: Name of the model.
            requests: How many; each counts as much as the model's dearest answer so far.
            at_most: US dollars that one may cost: what counts while nothing was answered.
        """
        with self._lock:
            self._spent += requests * self._dearest.get(model, at_most)

    def _free(self, held: float, spent: float) -> None:
        with self._lock:
            self._held.remove(held)
            self._spent += spent
            waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.set_result(None)

    def _exhausted(self, price: float | None) -> BudgetError:
        call = "" if price is None else f", and a call costs up to ${price:.6f}"
        return BudgetError(
            f"The limit of ${self.limit:g} is reached: ${self._spent:.6f} is spent{call}.",
            "Raise it where it was set: --max-cost, RAR_MAX_COST, or max_cost in rar.toml or code.",
        )


@Once
def of_process() -> Budget:
    """The process's one budget."""
    return Budget(0.0)


_shared: Budget | None = None


def share_budget(budget: Budget) -> None:
    """Have this process spend from a budget that others spend from, too, and that has its limit."""
    global _shared
    _shared = budget


def process_budget(limit: float) -> Budget:
    """The process's one budget, with this limit from now on: the last one that was set counts."""
    if _shared is not None:
        return _shared
    budget = of_process()
    budget.limit = limit
    return budget
