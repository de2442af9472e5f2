"""What plots show, as plain data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from rar_agent.evaluation.intervals import wilson
from rar_agent.evaluation.metrics.abstention import aurc, risk_coverage
from rar_agent.evaluation.metrics.accuracy import TOP_1
from rar_agent.evaluation.metrics.calibration import BINS, bins_of
from rar_agent.evaluation.metrics.columns import Columns, columns_of, group_of
from rar_agent.evaluation.metrics.cost import COST
from rar_agent.evaluation.metrics.metric import Metric
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.suite import Way

POINTS = 200
"""Of a curve, at most."""


class RiskPoint(NamedTuple):
    """Answering the surest images only.

    Attributes:
        coverage: Share of images that are answered.
        risk: Share of errors among these.
        confidence: The least probability among them.
    """

    coverage: float
    risk: float
    confidence: float


class Risk(NamedTuple):
    """A risk-coverage curve and the area under it."""

    points: list[RiskPoint]
    aurc: float | None


class Bin(NamedTuple):
    """Images whose first name has about the same probability.

    Attributes:
        low: Least probability of the bin.
        high: Largest.
        n: Images.
        confidence: Their mean probability.
        right: Share of them that is right.
        right_low: Of its 95 % interval (Wilson 1927).
        right_high: Likewise.
    """

    low: float
    high: float
    n: int
    confidence: float
    right: float
    right_low: float
    right_high: float


class Point(NamedTuple):
    """A way's top-1 somewhere.

    Attributes:
        way: Which.
        group: Such as `4-shot`.
        x: Shots, or categories, or dollars for 1,000 images; None where there is no such number.
        value: Top-1, 0 to 1.
        low: Of its 95 % interval.
        high: Likewise.
    """

    way: Way
    group: str
    x: float | None
    value: float
    low: float | None
    high: float | None


class CategoryAccuracy(NamedTuple):
    """How often images of a category are right, with Wilson's interval."""

    name: str
    n: int
    right: float
    low: float
    high: float


class Confusion(NamedTuple):
    """Images of one category that were given the name of another.

    Attributes:
        truth: The category.
        named: The other.
        n: Images.
        share: Of the category's images.
    """

    truth: str
    named: str
    n: int
    share: float


def _of_way(records: Sequence[Record], way: Way) -> Columns:
    columns = columns_of(records)
    return columns.take(columns.ways[way].there)


def risk_of(records: Sequence[Record], way: Way) -> Risk:
    """Risk by coverage, thinned; nothing where the way gives no probabilities."""
    answers = _of_way(records, way).ways[way]
    given = ~np.isnan(answers.confidence)
    if not given.any():
        return Risk([], None)
    confidence, right = answers.confidence[given], answers.right[given]
    curve = risk_coverage(confidence, right)
    ranks = np.unique(np.linspace(0, len(right) - 1, POINTS).round().astype(int))
    points = [RiskPoint(*map(float, row)) for row in np.column_stack(curve)[ranks]]
    return Risk(points, aurc(confidence, right)[0])


def reliability(records: Sequence[Record], way: Way) -> list[Bin]:
    """Bins of equal width that hold images, as ECE has them."""
    answers = _of_way(records, way).ways[way]
    given = ~np.isnan(answers.confidence)
    confidence, right = answers.confidence[given], answers.right[given]
    code = bins_of(confidence)
    bins = []
    for at in np.unique(code):
        inside = code == at
        n, share = int(inside.sum()), float(right[inside].mean())
        mean = float(confidence[inside].mean())
        bins.append(Bin(at / BINS, (at + 1) / BINS, n, mean, share, *wilson(share, n)))
    return bins


def accuracy_by(metrics: Iterable[Metric]) -> list[Point]:
    """Top-1 of groups, by the number that their names begin with: shots, or categories."""
    return [
        Point(one.way, one.cell, _number(one.cell), one.value, one.low, one.high)
        for one in metrics
        if one.name == TOP_1.name and one.way and one.value is not None
        if group_of(one.cell) == one.cell
    ]


def accuracy_by_cost(metrics: Sequence[Metric]) -> list[Point]:
    """Top-1 of groups by price; ways without a model cost nothing."""
    price = {(one.cell, one.way): one.value for one in metrics if one.name == COST.name}
    return [
        point._replace(x=price.get((point.group, point.way), 0.0))
        for point in (accuracy_by(metrics))
    ]


def _number(group: str) -> float | None:
    digits = group.replace("-", " ").split(" ")[0]
    return float(digits) if digits.isdecimal() else None


def by_category(records: Sequence[Record], way: Way) -> list[CategoryAccuracy]:
    """Top-1 of each category, worst first; of several cells together."""
    columns = _of_way(records, way)
    codes, truth, counts = np.unique(columns.truth, return_inverse=True, return_counts=True)
    rights = np.bincount(truth, columns.ways[way].right, len(codes)) / counts
    found = [
        CategoryAccuracy(columns.names[code], int(n), float(right), *wilson(float(right), int(n)))
        for code, n, right in zip(codes, counts, rights, strict=True)
    ]
    return sorted(found, key=lambda one: (one.right, -one.n, one.name))


def confusions(
    records: Sequence[Record], way: Way, most: int = 30, only: Collection[str] = ()
) -> list[Confusion]:
    """The pairs of categories most often confused.

    Args:
        records: Of one cell, or several together.
        way: Whose answers count.
        most: Pairs.
        only: Names of categories to which the truths are limited; none: all.
    """
    columns = _of_way(records, way)
    first, truth = columns.ways[way].first, columns.truth
    of_truth = np.bincount(truth, minlength=len(columns.names))
    wrong = (first != truth) & (first >= 0)
    pairs, counts = np.unique(np.stack([truth[wrong], first[wrong]]), axis=1, return_counts=True)
    found = [
        Confusion(columns.names[t], columns.names[f], int(n), float(n / of_truth[t]))
        for t, f, n in zip(*pairs, counts, strict=True)
        if not only or columns.names[t] in only
    ]
    return sorted(found, key=lambda one: (-one.n, one.truth, one.named))[:most]
