"""Names that need not be the published ones: cACC and sACC of vocabulary-free recognition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from rar_agent.evaluation.intervals import MEAN, SHARE, of_mean, of_share
from rar_agent.evaluation.metrics.columns import Columns
from rar_agent.evaluation.metrics.metric import Figure, Kind
from rar_agent.evaluation.metrics.sentences import Sentences
from rar_agent.evaluation.suite import Way

CACC = Kind(
    "cACC",
    "clustering accuracy: share of images whose first name is the one that their category is "
    "matched with, by the one-to-one matching of names and categories, in each cell, that makes "
    "it greatest (Hungarian method, Kuhn 1955; as FineR, Liu et al. 2024, arXiv 2401.13837)",
    SHARE + ", the matching held: of few images a category it is too good",
)
SACC = Kind(
    "sACC",
    "semantic accuracy: mean cosine of the sentence embeddings of the first name and the truth "
    "(FineR, Liu et al. 2024, arXiv 2401.13837); it depends on the sentence model",
    MEAN,
    unit="cosine",
)


def matched(first: NDArray[np.int64], truth: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each name is the one that its truth is matched with.

    Names and truths are matched one to one so that most images agree. Each name may also stay
    alone, which adds as many columns and one to every weight: sparse, so that thousands of
    categories take no table of all pairs.

    Args:
        first: (n,) codes of names; below 0: none, which agrees with nothing.
        truth: (n,) codes of categories.
    """
    agree = np.zeros(len(first), dtype=np.bool_)
    named = first >= 0
    if not named.any():
        return agree
    names, row = np.unique(first[named], return_inverse=True)
    categories, column = np.unique(truth[named], return_inverse=True)
    pairs, counts = np.unique(np.stack([row, column]), axis=1, return_counts=True)
    alone = np.arange(len(names))
    rows = np.concatenate([pairs[0], alone])
    columns = np.concatenate([pairs[1], len(categories) + alone])
    weights = np.concatenate([counts + 1, np.ones(len(names))])
    table = coo_array((weights, (rows, columns))).tocsr()
    matched_row, matched_column = min_weight_full_bipartite_matching(table, maximize=True)
    of_name = np.empty(len(names), dtype=np.int64)
    of_name[matched_row] = matched_column
    agree[named] = of_name[row] == column
    return agree


def with_clusters(columns: Columns, sentences: Sentences | None) -> Columns:
    """The columns with what cACC and sACC need: a matching of each cell, and cosines."""
    ways = dict(columns.ways)
    rows = sentences.encode(columns.names) if sentences and columns.names else None
    for way, answers in ways.items():
        agree = np.zeros(len(columns), dtype=np.bool_)
        for cell in range(len(columns.cell_names)):
            of_cell = np.flatnonzero((columns.cells == cell) & answers.there)
            agree[of_cell] = matched(answers.first[of_cell], columns.truth[of_cell])
        cosine = None
        if rows is not None:
            cosine = np.einsum("nd,nd->n", rows[answers.first], rows[columns.truth])
            cosine = np.where(answers.first < 0, 0.0, cosine).astype(np.float64)
        ways[way] = replace(answers, matched=agree, cosine=cosine)
    return replace(columns, ways=ways)


def clusters(part: Columns, way: Way, sentences: Sentences | None) -> Iterator[Figure]:
    """Clustering and semantic accuracy of a way; every record of the part has its answer."""
    answers, n = part.ways[way], len(part)
    if answers.matched is None:
        yield CACC.missing("names and categories were not matched", n)
    else:
        value = float(answers.matched.mean())
        yield CACC.found(value, of_share(answers.matched, part.clusters), n)
    if answers.cosine is None or sentences is None:
        yield SACC.missing("no sentence embedding was loaded", n)
    else:
        interval = of_mean(answers.cosine, part.clusters, -1.0, 1.0)
        note = f"sentence model {sentences.name}"
        yield SACC.found(float(answers.cosine.mean()), interval, n, note)
