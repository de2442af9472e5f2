"""Asking a model about left-out exemplars, several at a time, within a number of calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from rar_agent.errors import BudgetError, ProviderError
from rar_agent.graph.cascade import shown
from rar_agent.loop import Call, end
from rar_agent.memory.left_out import LeftOut
from rar_agent.ranking import AskingRanker, PairwiseRanker
from rar_agent.ranking.asking import Read
from rar_agent.ranking.choice import LetterRanker
from rar_agent.ranking.fitted import Answered
from rar_agent.ranking.options import ExemplarImage, shown_orders
from rar_agent.ranking.pairwise import FINALISTS
from rar_agent.settings import Settings
from rar_agent.types import Usage

BIAS_SHARE = 0.15
"""Share of the calls that go to all rotations of the candidates of a few images."""

SPARE = 2
"""Images on their way for each request that a model gets at once: some wait for a retry."""

Progress = Callable[[int, int], None]
"""Told how many calls were made, and how many there will be."""


@dataclass(frozen=True)
class Asked:
    """One left-out exemplar that a model was asked about.

    Attributes:
        answered: What it said.
        calls: Made for it.
        usage: Of these.
        worded: Whether words had to do where log-probabilities were asked for.
    """

    answered: Answered
    calls: int
    usage: Usage
    worded: bool


@dataclass(frozen=True)
class Task:
    """One image to ask about.

    Attributes:
        number: Of the left-out exemplar.
        orders: In how many orders its candidates are shown; 0 for all rotations.
        only_letters: Whether it tells of the letters alone, since recognition asks otherwise.
    """

    number: int
    orders: int
    only_letters: bool = False


@dataclass
class Asking:
    """Asks a model about left-out exemplars as recognition would, and a few in all rotations.

    Attributes:
        left: The exemplars.
        ranker: Asks the model; no liking for letters is divided out yet.
        settings: Candidates, orders and exemplars shown.
        picture: Finds an exemplar's picture.
        seed: Of the orders of the candidates.
        gone: Exemplars whose pictures are not there any more.
        failed: Calls that failed.
    """

    left: LeftOut
    ranker: AskingRanker
    settings: Settings
    picture: ExemplarImage
    seed: int
    gone: int = 0
    failed: int = 0
    sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        left, k = self.left, self.settings.k
        for number in range(len(left)):
            likeliest = left.log_posterior[number, left.likeliest[number, :k]]
            self.sizes.append(shown(left.memory, np.exp(likeliest).tolist()))

    def tasks(self, numbers: Sequence[int], calls: int) -> list[Task]:
        """What to ask, in order: of the first images with k candidates, all rotations.

        Those hold what recognition would ask. Where there are too few, images from the end are
        asked about for the letters alone.
        """
        k, orders = self.settings.k, self.settings.orders
        count = max(1, int(BIAS_SHARE * calls) // k) if self._rotates else 0
        whole = [number for number in numbers if self.sizes[number] == k][:count]
        spare = [n for n in reversed(numbers) if n not in whole][: count - len(whole)]
        tasks = [Task(n, 0 if n in whole else orders) for n in numbers if n not in spare]
        return [Task(n, 0, only_letters=True) for n in spare] + tasks

    @property
    def calls_each(self) -> int:
        """Calls for an image, at most, as recognition asks."""
        return max(self._cost(Task(n, self.settings.orders)) for n in range(len(self.sizes)))

    @property
    def spare_calls(self) -> int:
        """Calls beside those: all rotations for one image, and what is held for asking again."""
        letters = self.settings.k if self._rotates else 0
        again = isinstance(self.ranker, LetterRanker)
        return letters + (max(letters, self.calls_each) if again else 0)

    @property
    def _rotates(self) -> bool:
        """Whether more is asked for the letters' sake than recognition asks anyway."""
        orders = self.settings.orders
        return not isinstance(self.ranker, PairwiseRanker) and 0 < orders < self.settings.k

    def answers(
        self, tasks: Sequence[Task], calls: int, progress: Progress | None
    ) -> Iterator[Asked]:
        """Ask about one after another until the calls, or the money, are spent.

        Raises:
            ProviderError: Not one of the first images was answered.
        """
        waiting, going = deque(tasks), deque[tuple[Task, Call[Asked | ProviderError | None]]]()
        most, spent, answered = SPARE * self.settings.model_requests, 0, False
        failure: ProviderError | None = None  # the first one
        try:
            while True:
                while waiting and len(going) < most and (answered or not failure):
                    held = sum(self._most(task) for task, _ in going)
                    if spent + held + self._most(waiting[0]) > calls:
                        break
                    task = waiting.popleft()
                    going.append((task, Call(self._ask(task))))
                if not going:
                    break
                outcome = going[0][1].done.result()
                task, _ = going.popleft()
                if isinstance(outcome, Asked):
                    answered = True
                    spent += outcome.calls
                    yield outcome
                elif outcome is None:  # no picture: nothing was sent
                    self.gone += 1
                else:
                    self.failed += 1
                    failure = failure or outcome
                    spent += self._most(task)
                    if isinstance(outcome, BudgetError):
                        waiting.clear()  # what was answered for the money is used
                if progress:
                    progress(spent, calls)
            if failure and not answered:
                raise failure
        finally:
            end(call for _, call in going)

    def _cost(self, task: Task) -> int:
        size = self._size(task)
        if isinstance(self.ranker, PairwiseRanker):
            count = min(FINALISTS, size)
            return count * (count - 1)
        return min(task.orders or size, size)

    def _most(self, task: Task) -> int:
        """Calls at most: an answer that does not begin with a letter is asked for again."""
        return (2 if isinstance(self.ranker, LetterRanker) else 1) * self._cost(task)

    def _size(self, task: Task) -> int:
        return self.settings.k if task.only_letters else self.sizes[task.number]

    async def _ask(self, task: Task) -> Asked | ProviderError | None:
        image = await asyncio.to_thread(self.picture, self.left.exemplar(task.number))
        if image is None:
            return None
        try:
            return await self._answer(task, image)
        except ProviderError as error:
            return error

    async def _answer(self, task: Task, image: Image.Image) -> Asked:
        size, seed = self._size(task), self.seed + task.number
        candidates = await asyncio.to_thread(
            self.left.candidates, task.number, size, self.settings.exemplars
        )
        place = int(self.left.places[task.number])
        truth = place if place < size else None
        retrieval = [candidate.probability for candidate in candidates]
        if isinstance(self.ranker, PairwiseRanker):
            ranking = await self.ranker.arank(image, candidates, seed)
            answered = Answered(retrieval, truth, ranking.probabilities)
            return Asked(answered, ranking.calls, ranking.usage, ranking.worded)
        # Recognition's orders are among all rotations, which begin with the same one.
        read = await self.ranker.aread(image, candidates, shown_orders(size, seed, task.orders))
        rotated = read if len(read.orders) == size else None
        usual = None
        if not task.only_letters:
            usual = _part(read, shown_orders(size, seed, self.settings.orders))
        shares = usual.shares(size).tolist() if usual else None
        answered = Answered(retrieval, truth, shares, usual, rotated)
        calls = max(len(read.answers), len(read.orders))
        return Asked(answered, calls, read.usage, bool(read.worded))


def _part(read: Read, orders: Sequence[Sequence[int]]) -> Read:
    """What was said of some of the orders."""
    places = [read.orders.index(order) for order in orders]
    return replace(
        read,
        orders=orders,
        distributions=[read.distributions[place] for place in places],
        worded={new for new, place in enumerate(places) if place in read.worded},
    )
