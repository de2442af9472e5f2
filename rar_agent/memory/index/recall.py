"""Measuring how much of an exact search an index finds, and looking at more until it is enough.

Measure with queries of the modality that will be asked: an index that finds photos by photos may
miss texts by photos, quantised ones most of all (rom1504/clip-retrieval#76).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rar_agent.encoders import FloatArray
from rar_agent.errors import InputError
from rar_agent.memory.index.approximate import ApproximateIndex
from rar_agent.memory.index.exact import nearest_exact

MOST_EFFORT = 4_096
"""efSearch or nprobe beyond which tuning does not go; an exact search is near by then."""

MOST_RERANK = 160
"""Rows re-ranked per row wanted beyond which tuning does not go."""

_GAIN = 0.002  # twice the effort that brings less recall than this: what is left is lost by codes


@dataclass(frozen=True)
class Tuned:
    """An index searched with as little effort as reaches the recall wanted.

    Attributes:
        index: To search with; its `spec` is to be stored.
        recall: Measured, 0 to 1.
        reached: Whether that is what was wanted; if not, nothing within the limits was better.
    """

    index: ApproximateIndex
    recall: float
    reached: bool


def measure_recall(
    index: ApproximateIndex, vectors: FloatArray, queries: FloatArray, k: int = 10
) -> float:
    """Share of the k nearest rows that the index finds, over all queries (recall@k).

    A row counts as found where its score is at least that of the k-th nearest, so of equal rows
    any will do.

    Args:
        index: An open index.
        vectors: (n, d) float32: its rows.
        queries: (q, d) float32 unit rows, q at least 1, that were not built into the index.
        k: Rows wanted; at least 1.

    Returns:
        0 to 1; its standard error is at most 0.5 / sqrt(q).

    Raises:
        InputError: No queries, or shapes that do not fit together.
    """
    return _recall(index, queries, _least_scores(vectors, queries, k), k)


def tune(
    index: ApproximateIndex,
    vectors: FloatArray,
    queries: FloatArray,
    recall: float = 0.95,
    k: int = 10,
) -> Tuned:
    """Double the effort from the spec's own until the recall is reached.

    IVF-PQ re-ranks twice as many where more lists no longer help.

    Args:
        index: An open index.
        vectors: (n, d) float32: its rows.
        queries: (q, d) float32 unit rows of the modality that will be asked; a few hundred.
        recall: Wanted, 0 to 1.
        k: Rows wanted of a search.

    Raises:
        InputError: No queries, a recall outside 0 to 1, or shapes that do not fit together.
    """
    if not 0 <= recall <= 1:
        raise InputError(f"A recall of {recall} is wanted.", "Give a share, 0 to 1.")
    least = _least_scores(vectors, queries, k)
    best = Tuned(index, measured := _recall(index, queries, least, k), measured >= recall)
    now = best
    gain = 1.0
    while not now.reached:
        spec = now.index.spec
        limit = min(MOST_EFFORT, spec.lists or MOST_EFFORT)
        wider, longer = spec.effort < limit, spec.kind == "ivf-pq" and spec.rerank < MOST_RERANK
        if longer and (gain < _GAIN or not wider):
            index = now.index.with_effort(spec.effort, min(MOST_RERANK, 2 * spec.rerank))
        elif wider:
            index = now.index.with_effort(min(limit, 2 * spec.effort))
        else:
            break
        measured = _recall(index, queries, least, k)
        gain = measured - now.recall
        now = Tuned(index, measured, measured >= recall)
        best = max(best, now, key=lambda tuned: tuned.recall)
    return best


def _least_scores(vectors: FloatArray, queries: FloatArray, k: int) -> FloatArray:
    """(q, 1) scores of each query's k-th nearest row."""
    if not len(queries) or not len(vectors):
        raise InputError(
            f"Recall of {len(queries)} queries over {len(vectors)} rows is not defined.",
            "Give at least one of each.",
        )
    scores: FloatArray = nearest_exact(queries, vectors, k)[0][:, -1:]
    return scores


def _recall(index: ApproximateIndex, queries: FloatArray, least: FloatArray, k: int) -> float:
    scores = index.nearest(queries, k)[0]
    return float(np.mean(scores >= least))
