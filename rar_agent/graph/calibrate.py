"""Spending a stated number of calls on a memory's own exemplars, to learn what a model is worth.

Each exemplar is left out of all that the memory knows, its picture shown to the model with the
candidates that retrieval then finds. What comes of it is in `RankerRecord`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from rar_agent.errors import BudgetError, ConfigurationError, InputError, ProviderError
from rar_agent.graph.cascade import FEWEST, shown
from rar_agent.graph.pictures import exemplar_images
from rar_agent.graph.services import Services
from rar_agent.images import Policy
from rar_agent.memory.format.manifest import RankerRecord
from rar_agent.memory.left_out import LeftOut, leave_out
from rar_agent.ranking import AskingRanker, PairwiseRanker
from rar_agent.ranking.asking import Read
from rar_agent.ranking.cascade import Ranked, Retrieved, fit_gate, fit_weight, log_loss, pick
from rar_agent.ranking.fusion import fuse
from rar_agent.ranking.options import shown_orders
from rar_agent.ranking.order_bias import order_bias
from rar_agent.ranking.pairwise import FINALISTS
from rar_agent.types import Usage, sum_usage

FEWEST_IMAGES = 30
"""Answers under which nothing is fitted."""

BIAS_SHARE = 0.15
"""Share of the calls that go to all rotations of the candidates of a few images."""

_AT_ONCE = 8

Progress = Callable[[int, int], None]
"""Told how many calls were made, and how many there will be."""


@dataclass(frozen=True)
class _Asked:
    """One left-out exemplar that a model was asked about.

    Attributes:
        retrieval: Probabilities of the candidates shown.
        truth: Position of the right one among them; None where it is none of them.
        shares: The model's, as they came.
        read: The answers; None where they are not about all candidates at once.
        calls: Made for it.
        usage: Of these.
    """

    retrieval: list[float]
    truth: int | None
    shares: list[float]
    read: Read | None
    calls: int
    usage: Usage

    def ranked(self, prior: Sequence[float]) -> Ranked:
        """What was answered, with a liking for letters divided out."""
        shares = self.shares
        if self.read is not None and prior:
            shares = self.read.shares(len(shares), prior).tolist()
        return Ranked(self.retrieval, shares, self.truth)


def calibrate(
    services: Services,
    calls: int = 200,
    loss: float = 0.005,
    seed: int = 0,
    progress: Progress | None = None,
) -> RankerRecord:
    """Ask the settings' model about a memory's own exemplars, and fit weight and gate.

    Args:
        services: For the memory and the ranker.
        calls: Made at most.
        loss: Accuracy that not asking may cost, as a share: 0.005 is half a point.
        seed: Of the exemplars that are drawn.
        progress: Told after each image.

    Returns:
        What was found; `keep_ranker` writes it into the memory.

    Raises:
        ConfigurationError: No model is set, or pictures of too few exemplars are left.
        InputError: The memory is not calibrated itself, or there are too few calls.
        ProviderError: The model answered about too few images.
    """
    ranker = services.ranker
    if not isinstance(ranker, AskingRanker):
        raise ConfigurationError(
            "No model is set, so there is nothing to calibrate.",
            "Give --model, or set RAR_MODEL.",
        )
    left, k = leave_out(services.memory), services.settings.k
    if k < FEWEST:
        raise InputError(f"k = {k} leaves nothing to rank.", "Give 2 to 26.")
    sizes = np.array([_size(left, number, k) for number in range(len(left))])
    truth = np.exp(left.log_posterior[np.arange(len(left)), left.truth])
    retrieved = Retrieved(left.confidence, np.where(left.places < sizes, truth, 0.0))
    matter = pick(retrieved, len(left), loss, seed)
    numbers = np.random.default_rng(seed).permutation(matter).tolist()
    asking = _Asking(services, ranker, left, sizes.tolist(), k, seed)
    asked = list(asking.answers(numbers, calls, progress))
    if len(asked) < FEWEST_IMAGES:
        raise InputError(
            f"The model answered about {len(asked)} left-out exemplars, and at least "
            f"{FEWEST_IMAGES} are needed ({asking.excuse(len(matter))}).",
            f"Give more calls, at least {asking.calls_needed}, or see rar-agent doctor.",
        )
    return _record(services, ranker, asked, retrieved, loss)


def _size(left: LeftOut, number: int, k: int) -> int:
    likeliest = left.log_posterior[number, left.likeliest[number, :k]]
    return shown(left.memory, np.exp(likeliest).tolist())


class _Asking:
    """Asks a model about left-out exemplars, several at a time, within a number of calls."""

    def __init__(
        self,
        services: Services,
        ranker: AskingRanker,
        left: LeftOut,
        sizes: Sequence[int],
        k: int,
        seed: int,
    ) -> None:
        self._ranker, self._left, self._sizes, self._k, self._seed = ranker, left, sizes, k, seed
        self._orders, self._exemplars = services.settings.orders, services.settings.exemplars
        self._picture = exemplar_images(
            services.memory, Policy.of(services.settings, "caller"), files_first=True
        )
        self._pairs = isinstance(ranker, PairwiseRanker)
        self._gone = self._failed = 0

    def answers(
        self, numbers: Sequence[int], calls: int, progress: Progress | None
    ) -> Iterator[_Asked]:
        """Ask about one after another until the calls, or the money, are spent.

        Raises:
            ProviderError: Not one of the first images was answered.
        """
        spent, rotated, waiting, answered = 0, 0, list(numbers), False
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while waiting:
                part: list[tuple[int, bool]] = []
                while waiting and len(part) < 2 * _AT_ONCE:
                    rotate = not self._pairs and rotated < BIAS_SHARE * calls
                    cost = self._cost(waiting[0], rotate)
                    if spent + cost > calls:
                        waiting = []
                        break
                    part.append((waiting.pop(0), rotate))
                    spent += cost
                    rotated += cost if rotate else 0
                outcomes = list(pool.map(lambda asked: self._ask(*asked), part))
                failures = [one for one in outcomes if isinstance(one, ProviderError)]
                answered = answered or any(isinstance(one, _Asked) for one in outcomes)
                if failures and not answered:
                    raise failures[0]
                if any(isinstance(failure, BudgetError) for failure in failures):
                    waiting = []  # what was answered for the money is used
                self._failed += len(failures)
                for (number, rotate), outcome in zip(part, outcomes, strict=True):
                    if isinstance(outcome, _Asked):
                        yield outcome
                    elif outcome is None:  # no picture: nothing was sent
                        self._gone += 1
                        spent -= self._cost(number, rotate)
                        rotated -= self._cost(number, rotate) if rotate else 0
                if progress:
                    progress(spent, calls)

    @property
    def calls_needed(self) -> int:
        """Calls that are enough for `FEWEST_IMAGES`, if all are answered."""
        each = max(self._cost(number, rotate=False) for number in range(len(self._sizes)))
        return math.ceil(FEWEST_IMAGES * each / (1 - BIAS_SHARE)) + self._k

    def excuse(self, count: int) -> str:
        """Why there are no more answers."""
        return (
            f"of {count} whose answer could matter, {self._gone} have no picture any more and "
            f"{self._failed} calls failed"
        )

    def _cost(self, number: int, rotate: bool) -> int:
        size = self._sizes[number]
        if self._pairs:
            count = min(FINALISTS, size)
            return count * (count - 1)
        return self._k if rotate else min(self._orders or size, size)

    def _ask(self, number: int, rotate: bool) -> _Asked | ProviderError | None:
        image = self._picture(self._left.exemplar(number))
        if image is None:
            return None
        size = self._k if rotate else self._sizes[number]
        candidates = self._left.candidates(number, size, self._exemplars)
        place = int(self._left.places[number])
        seed = self._seed + number
        known = [candidate.probability for candidate in candidates], place if place < size else None
        try:
            if self._pairs:
                ranking = self._ranker.rank(image, candidates, seed)
                shares = list(ranking.probabilities)
                return _Asked(*known, shares, None, ranking.calls, ranking.usage)
            orders = shown_orders(len(candidates), seed, 0 if rotate else self._orders)
            read = self._ranker.read(image, candidates, orders)
        except ProviderError as error:
            return error
        shares = read.shares(len(candidates)).tolist()
        return _Asked(*known, shares, read, len(read.answers), read.usage)


def _record(
    services: Services,
    ranker: AskingRanker,
    asked: Sequence[_Asked],
    retrieved: Retrieved,
    loss: float,
) -> RankerRecord:
    """Fit weight and gate, and say how well they do on what they were fitted on."""
    settings, memory = services.settings, services.memory
    bias = order_bias([one.read for one in asked if one.read is not None])
    ranked, prior = [one.ranked(()) for one in asked], tuple[float, ...]()
    weight = fit_weight(ranked)
    if bias is not None:
        debiased = [one.ranked(bias.prior) for one in asked]
        other = fit_weight(debiased)
        if log_loss(debiased, other) < log_loss(ranked, weight):
            ranked, prior, weight = debiased, bias.prior, other
    gate = fit_gate(retrieved, ranked, weight, loss)
    fused = [fuse(one.retrieval, one.ranking, weight) for one in ranked]
    right = [int(np.argmax(p)) == one.truth for p, one in zip(fused, ranked, strict=True)]
    usage = sum_usage(one.usage for one in asked)
    return RankerRecord(
        model=settings.model or "",
        ranker=settings.ranker,
        prompt=ranker.prompt,
        prompt_hash=ranker.prompt_hash,
        orders=settings.orders,
        k=settings.k,
        weight=weight,
        gate=gate,
        loss=loss,
        images=len(asked),
        calls=sum(one.calls for one in asked),
        retrieval_top1=float(np.mean([one.truth == 0 for one in asked])),
        ranked_top1=float(np.mean(right)),
        asked_share=float((retrieved.confidence < gate).mean()),
        bias=bias.bias if bias else None,
        prior=prior,
        answers=tuple((max(p), r) for p, r in zip(fused, right, strict=True)),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost=usage.cost,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        entries=memory.image_count,
        next_entry=memory.manifest.next_entry,
    )
