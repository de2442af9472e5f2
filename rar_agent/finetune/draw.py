"""Which exemplars become conversations, on which side, and among which candidates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import InputError
from rar_agent.memory.left_out import LeftOut
from rar_agent.types import Candidate

Side = Literal["train", "eval"]


@dataclass(frozen=True)
class Sides:
    """Exemplars to train on and to evaluate on, and what may be shown with them.

    Attributes:
        numbers: Of exemplars in the left-out memory, in the order drawn.
        allowed: (c,) for each side, which of its categories may be candidates.
    """

    numbers: dict[Side, list[int]]
    allowed: dict[Side, NDArray[np.bool_]]


def draw_sides(
    left: LeftOut, eval_share: float, disjoint: bool, seed: int, limit: int | None
) -> Sides:
    """Draw exemplars, and divide them.

    Args:
        left: A memory with each exemplar left out.
        eval_share: Share that is kept for evaluation: of the exemplars, or of the categories.
        disjoint: Whether the sides share no category, neither as the right one nor as a candidate.
        seed: Of what is drawn.
        limit: Exemplars at most, of both sides together; None: all.

    Raises:
        InputError: A side has fewer than two categories to choose from.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(left))
    allowed: dict[Side, NDArray[np.bool_]]
    count = len(left.columns)
    if disjoint:
        kept = np.zeros(count, bool)
        kept[random.permutation(count)[: round(eval_share * count)]] = True
        allowed = {"train": ~kept, "eval": kept}
        few = [side for side in allowed if allowed[side].sum() < 2]
        if few:
            raise InputError(
                f"Of {count} categories, an evaluation share of {eval_share:g} leaves "
                f"{int(allowed[few[0]].sum())} to the side '{few[0]}', and two are needed.",
                "Give another --eval-share, or leave out --disjoint.",
            )
        to_eval = kept[left.truth[order]]
    else:
        everything = np.ones(count, bool)
        allowed = {"train": everything, "eval": everything}
        to_eval = np.zeros(len(order), bool)
        to_eval[: round(eval_share * len(order))] = True
        order, to_eval = _shuffled(order, to_eval, random)
    order, to_eval = order[:limit], to_eval[:limit]
    numbers: dict[Side, list[int]] = {
        "train": order[~to_eval].tolist(),
        "eval": order[to_eval].tolist(),
    }
    return Sides(numbers, allowed)


def _shuffled(
    order: NDArray[np.int64], to_eval: NDArray[np.bool_], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Both in another order, so that a limit takes of both sides."""
    again = random.permutation(len(order))
    return order[again], to_eval[again]


def shortlists(
    left: LeftOut,
    number: int,
    k: int,
    allowed: NDArray[np.bool_],
    exemplars: int,
    repeats: int,
    neighbours: int,
    seed: int,
) -> Iterator[tuple[list[Candidate], int]]:
    """Candidates for one exemplar, the right one always among them.

    The first time they are the first k that retrieval finds; where the right one is not among
    these, it takes the place of the last. Later times the others are drawn from the first
    `neighbours`.

    Args:
        left: A memory with each exemplar left out.
        number: The exemplar.
        k: Candidates, where there are so many.
        allowed: (c,) categories that may be among them.
        exemplars: Shown of each, at most.
        repeats: How many shortlists.
        neighbours: Categories that later shortlists are drawn from, the right one counted.
        seed: Of the drawing.

    Yields:
        The candidates in retrieval order, and the position of the right one.
    """
    truth = int(left.truth[number])
    order = left.likeliest[number]
    others: list[int] = order[allowed[order] & (order != truth)].tolist()
    random = Random(seed)
    for repeat in range(repeats):
        chosen = others[: k - 1]
        if repeat:
            pool = others[: max(k, neighbours) - 1]
            chosen = random.sample(pool, min(k - 1, len(pool)))
        places = np.array([*chosen, truth])
        one = replace(
            left,
            rows=left.rows[number : number + 1],
            columns=left.columns[places],
            truth=np.array([len(chosen)]),
            log_posterior=left.log_posterior[number : number + 1, places],
        )
        yield one.candidates(0, len(places), exemplars), int(one.places[0])


def is_missed(left: LeftOut, number: int, k: int, allowed: NDArray[np.bool_]) -> bool:
    """Whether retrieval does not find an exemplar's category among the first k that may be."""
    scores = left.log_posterior[number]
    return int((scores[allowed] > scores[left.truth[number]]).sum()) >= k


def seed_of(*parts: object) -> int:
    """A seed for these parts, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big")
