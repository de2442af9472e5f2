"""What a memory would say of its own exemplars, each left out: images of known category, for free.

What a ranking model is calibrated on, and what it can be trained on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import InputError
from rar_agent.memory.memory import Memory
from rar_agent.memory.scoring import affinity
from rar_agent.memory.scoring.calibration import FEWEST_CALIBRATED
from rar_agent.memory.scoring.fit import FEWEST_EACH, Fit, left_out_rows
from rar_agent.memory.scoring.gaussian import Array, SharedGaussian
from rar_agent.memory.scoring.record import MemoryExemplars, text_logits
from rar_agent.memory.search import Searcher
from rar_agent.types import Candidate, Category, Exemplar


@dataclass(frozen=True)
class LeftOut:
    """A memory's answers to its exemplars, each left out of all that it knows.

    Attributes:
        memory: The memory.
        rows: (m,) rows of the exemplars among its entries.
        columns: (c,) positions of the categories that have exemplars.
        truth: (m,) place of each exemplar's category in `columns`.
        log_posterior: (m, c) as `Memory.search` would give it.
    """

    memory: Memory
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    truth: NDArray[np.int64]
    log_posterior: Array

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def likeliest(self) -> NDArray[np.int64]:
        """(m, c) places in `columns`, the likeliest category first."""
        return np.argsort(-self.log_posterior, axis=1, kind="stable")

    @cached_property
    def confidence(self) -> Array:
        """(m,) probability of the likeliest category."""
        best: Array = np.exp(self.log_posterior.max(axis=1))
        return best

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """(m,) how many categories are likelier than the right one."""
        found: NDArray[np.int64] = (self.likeliest == self.truth[:, None]).argmax(axis=1)
        return found

    def exemplar(self, number: int) -> Exemplar:
        """The exemplar that is left out."""
        row = int(self.rows[number])
        entries = self.memory.entries
        return Exemplar(entry=entries.id_of(row), source=entries.source(row), similarity=1.0)

    def category(self, number: int) -> Category:
        """The right category of an exemplar."""
        return self.memory.categories[int(self.columns[self.truth[number]])]

    def candidates(self, number: int, k: int, exemplars: int) -> list[Candidate]:
        """Candidates for an exemplar, with the nearest of the other exemplars.

        Args:
            number: 0 to m-1.
            k: How many.
            exemplars: Shown of each, at most.
        """
        query = self.memory.entries.vectors(self.rows[number : number + 1])[0]
        own, searcher = self.exemplar(number).entry, Searcher(self.memory)
        places = self.likeliest[number, :k]
        scores = np.minimum(0.0, self.log_posterior[number, places])
        shown = exemplars + 1 if exemplars else 0
        found = []
        for candidate in searcher.candidates(query, self.columns[places], scores, shown):
            others = [one for one in candidate.exemplars if one.entry != own][:exemplars]
            found.append(candidate.model_copy(update={"exemplars": tuple(others)}))
        return found


def leave_out(memory: Memory) -> LeftOut:
    """Leave each exemplar out, of 4,000 at most; see `SharedGaussian.leave_one_out`.

    But for images that the memory has learnt twice: the other one would tell what it is.

    Raises:
        InputError: The memory is not calibrated: it has too few exemplars, or of too many
            categories, or too much changed since.
    """
    fit = memory.fit
    if fit is None or not memory.calibrated:
        raise InputError(
            f"Memory '{memory.name}' is not calibrated ({memory.probability_means()}), so its "
            "own exemplars cannot tell how a model does on it.",
            _to_do(memory),
        )
    exemplars = MemoryExemplars(memory, fit.feature_map)
    rows = left_out_rows(exemplars.labels)
    rows = rows[_learnt_once(memory, exemplars.rows)[rows]]
    logits = fit.image_scale * _scores(fit, exemplars, rows)
    texts = text_logits(memory, exemplars)
    if fit.text_weight and texts is not None:
        logits = logits + fit.text_weight * texts(rows)
    return LeftOut(
        memory,
        exemplars.rows[rows],
        exemplars.columns,
        exemplars.labels[rows],
        fit.temper.log_posterior(logits),
    )


def _to_do(memory: Memory) -> str:
    """What makes a memory calibrated."""
    if memory.manifest.prior:
        return f"Take its prior away: rar-agent memory fit {memory.name} --no-prior"
    if memory.stale:
        return f"Choose its scoring anew: rar-agent memory fit {memory.name}"
    if not memory.all_have_exemplars:
        return "Teach it exemplars of every category."
    return (
        f"Teach it more exemplars: {FEWEST_CALIBRATED} or more in all, {FEWEST_EACH} or more of "
        "most categories."
    )


def _learnt_once(memory: Memory, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether no other exemplar is the same image, by its content."""
    contents = memory.entries.fields(rows)["content"].tolist()
    counts = Counter(contents)
    return np.array([counts[content] == 1 for content in contents], bool)


def _scores(fit: Fit, exemplars: MemoryExemplars, rows: NDArray[np.int64]) -> Array:
    if fit.method != "gda":
        return affinity.leave_one_out(exemplars, rows, [fit.sharpness or None])[0]
    gaussian = SharedGaussian(exemplars)
    scores = -0.5 * gaussian.leave_one_out(rows, fit.shrinkage, fit.ratio)
    scores[np.arange(len(rows)), exemplars.labels[rows]] *= gaussian.own_factor(rows, fit.ratio)
    return scores
