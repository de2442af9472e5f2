"""What is gained by not answering: whether unsure answers are the wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from rar_agent.evaluation.intervals import (
    MEAN,
    SHARE,
    Floats,
    of_bounded,
    of_estimate,
    of_share,
)
from rar_agent.evaluation.metrics.calibration import NO_PROBABILITIES
from rar_agent.evaluation.metrics.columns import Columns
from rar_agent.evaluation.metrics.metric import Figure, Kind
from rar_agent.evaluation.suite import Way

COVERAGE = Kind("coverage", "share of images that are answered, not abstained", SHARE, better="")
SELECTIVE = Kind(
    "top-1 of answered", "share of right names among images that were not abstained", SHARE
)
AURC = Kind(
    "AURC",
    "area under the risk-coverage curve: the mean, over all coverages, of the share of errors "
    "among the surest images (Geifman & El-Yaniv 2017, arXiv 1705.08500; equal probabilities in "
    "any order, on average)",
    MEAN + ", by the influence of each image; without or with nothing but errors, Wilson's of them",
    better="lower",
)
AUROC = Kind(
    "AUROC",
    "probability that a right answer is surer than a wrong one, ties half (Hanley & McNeil 1982)",
    "Wilson's with the effective number of images, from DeLong's variance (1988), by images and "
    "seeds as clusters (Obuchowski 1997); no more of them than of the rarer kind where all are "
    "apart",
)


class RiskCoverage(NamedTuple):
    """The curve, from the surest image on.

    Attributes:
        coverage: (n,) share of images that are answered.
        risk: (n,) share of errors among these.
        confidence: (n,) the least probability among them.
    """

    coverage: Floats
    risk: Floats
    confidence: Floats


def risk_coverage(confidence: Floats, right: NDArray[np.bool_]) -> RiskCoverage:
    """The risk-coverage curve; images that are equally sure come in any order, on average."""
    falling = np.sort(confidence)[::-1]
    _, tie, size = np.unique(-confidence, return_inverse=True, return_counts=True)
    error = np.repeat(np.bincount(tie, ~right) / size, size)
    ranks = np.arange(1, len(right) + 1)
    return RiskCoverage(ranks / len(right), np.cumsum(error) / ranks, falling)


def aurc(confidence: Floats, right: NDArray[np.bool_]) -> tuple[float, Floats]:
    """The area under the risk-coverage curve, and (n,) what each image adds to its error.

    The mean of selective risks R_k over the ranks k is a sum over errors of the harmonic weights
    T_k = sum of 1/j from k on; the influence of an image is R_k - AURC + e T_k - sum of R_j/j.
    """
    n = len(right)
    risk = risk_coverage(confidence, right).risk
    value = float(risk.mean())
    ranks = np.arange(1, n + 1)
    weight = np.cumsum((1 / ranks)[::-1])[::-1]
    less = np.cumsum((risk / ranks)[::-1])[::-1]
    _, tie, size = np.unique(-confidence, return_inverse=True, return_counts=True)
    of_tie = np.repeat(np.arange(len(size)), size)

    def even(values: Floats) -> Floats:
        return (np.bincount(of_tie, values) / size)[tie]

    influence = even(risk) - value + ~right * even(weight) - even(less)
    return value, influence / n


def auroc(confidence: Floats, right: NDArray[np.bool_]) -> tuple[float, Floats]:
    """The area under the ROC curve, and (n,) what each image adds to its error.

    By midranks (DeLong et al. 1988, as Sun & Xu 2014 compute it). Some have to be right, and
    some wrong.
    """
    rank = rankdata(confidence)
    positives, negatives = int(right.sum()), int((~right).sum())
    share = np.empty(len(right))
    share[right] = (rank[right] - rankdata(confidence[right])) / negatives
    share[~right] = 1 - (rank[~right] - rankdata(confidence[~right])) / positives
    value = float(share[right].mean())
    return value, (share - value) / np.where(right, positives, negatives)


def abstention(part: Columns, way: Way) -> Iterator[Figure]:
    """What abstaining gives a way; every record of the part has its answer."""
    answers, n = part.ways[way], len(part)
    accepted = answers.accepted
    yield COVERAGE.found(float(accepted.mean()), of_share(accepted, part.clusters), n)
    if accepted.any():
        right = answers.right[accepted]
        interval = of_share(right, part.clusters.take(accepted))
        yield SELECTIVE.found(float(right.mean()), interval, len(right))
    else:
        yield SELECTIVE.missing("all images were abstained", n)
    given = ~np.isnan(answers.confidence)
    if not given.any():
        yield AURC.missing(NO_PROBABILITIES, n)
        yield AUROC.missing(NO_PROBABILITIES, n)
        return
    confidence, right = answers.confidence[given], answers.right[given]
    clusters, n = part.clusters.take(given), int(given.sum())
    value, influence = aurc(confidence, right)
    if right.all() or not right.any():
        yield AURC.found(value, of_share(~right, clusters), n)
        why = "no answer was wrong" if right.all() else "no answer was right"
        yield AUROC.missing(f"{why}: there is nothing to tell apart", n)
        return
    yield AURC.found(value, of_estimate(value, influence, clusters, 0.0, 1.0), n)
    value, influence = auroc(confidence, right)
    rarer = min(int(right.sum()), int((~right).sum()))
    most = n if 0 < value < 1 else rarer
    yield AUROC.found(value, of_bounded(value, influence, clusters, most), n)
