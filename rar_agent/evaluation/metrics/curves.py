"""What a report draws beside metrics, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from rar_agent.evaluation.intervals import wilson
from rar_agent.evaluation.metrics.abstention import risk_coverage
from rar_agent.evaluation.metrics.calibration import bins_of
from rar_agent.evaluation.metrics.columns import WAYS, Columns, columns_of, group_of
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.suite import Way

POINTS = 200
"""Of a curve, at most; more cannot be told apart."""
CONFUSED = 1_000
"""Pairs of categories of a way, at most."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class RiskCoverage(_Frozen):
    """Of one way in one group of cells."""

    way: Way
    cell: str
    points: tuple[tuple[float, float], ...]
    """Coverage, and the share of errors among the surest images of that coverage."""


class Bin(_Frozen):
    """Answers that are about equally sure, in one of the bins of ECE."""

    confidence: float
    """Their mean probability."""
    right: float
    """Share of them that is right."""
    low: float | None = None
    """Of the share's 95 % interval (Wilson 1927), answers independent."""
    high: float | None = None
    n: int


class Reliability(_Frozen):
    """Of one way in one group of cells."""

    way: Way
    cell: str
    bins: tuple[Bin, ...]


class CategoryFigure(_Frozen):
    """Accuracy on the images of one category, over all cells."""

    name: str
    way: Way
    right: float
    low: float | None = None
    """Of the 95 % interval (Wilson 1927) of as many images as there are, each once."""
    high: float | None = None
    n: int


class Confused(_Frozen):
    """Answers of a way that take one category for another, over all cells."""

    way: Way
    truth: str
    answer: str
    count: int


class Curves(_Frozen):
    """All of a run."""

    risk_coverage: tuple[RiskCoverage, ...] = ()
    reliability: tuple[Reliability, ...] = ()
    categories: tuple[CategoryFigure, ...] = ()
    """By way, then by name."""
    confusions: tuple[Confused, ...] = ()
    """Of each way, most frequent first."""


def curves_of(records: Sequence[Record]) -> Curves:
    """Curves of each way in each group of cells; categories and confusions over all cells.

    Ways without probabilities have no curves.

    Raises:
        InputError: A cell has an image twice.
    """
    columns = columns_of(records)
    groups = [group_of(cell) for cell in columns.cell_names]
    risks, bins = [], []
    for group in dict.fromkeys(groups):
        cells = [at for at, name in enumerate(groups) if name == group]
        part = columns.take(np.isin(columns.cells, cells))
        for way in WAYS:
            sure = part.take(part.ways[way].there & ~np.isnan(part.ways[way].confidence))
            if len(sure):
                risks.append(RiskCoverage(way=way, cell=group, points=_risks(sure, way)))
                found = tuple(_reliability(sure, way))
                bins.append(Reliability(way=way, cell=group, bins=found))
    of_ways = [(way, columns.take(columns.ways[way].there)) for way in WAYS]
    return Curves(
        risk_coverage=tuple(risks),
        reliability=tuple(bins),
        categories=tuple(one for way, part in of_ways for one in _categories(part, way)),
        confusions=tuple(one for way, part in of_ways for one in _confusions(part, way)),
    )


def _risks(part: Columns, way: Way) -> tuple[tuple[float, float], ...]:
    curve = risk_coverage(part.ways[way].confidence, part.ways[way].right)
    ranks = np.unique(np.linspace(0, len(part) - 1, POINTS).round().astype(int))
    return tuple(zip(curve.coverage[ranks].tolist(), curve.risk[ranks].tolist(), strict=True))


def _reliability(part: Columns, way: Way) -> Iterator[Bin]:
    confidence, right = part.ways[way].confidence, part.ways[way].right
    code = bins_of(confidence)
    for at in np.unique(code):
        inside = code == at
        n, share = int(inside.sum()), float(right[inside].mean())
        low, high = wilson(share, n)
        mean = float(confidence[inside].mean())
        yield Bin(confidence=mean, right=share, low=low, high=high, n=n)


def _categories(part: Columns, way: Way) -> Iterator[CategoryFigure]:
    size = len(part.names)
    counts = np.bincount(part.truth, minlength=size)
    rights = np.bincount(part.truth, part.ways[way].right, size)
    images = np.unique(np.stack([part.truth, part.clusters.images]), axis=1)[0]
    distinct = np.bincount(images, minlength=size)
    for at in np.flatnonzero(counts).tolist():
        share = float(rights[at] / counts[at])
        low, high = wilson(share, int(distinct[at]))
        name, n = part.names[at], int(counts[at])
        yield CategoryFigure(name=name, way=way, right=share, low=low, high=high, n=n)


def _confusions(part: Columns, way: Way) -> Iterator[Confused]:
    first = part.ways[way].first
    wrong = (first != part.truth) & (first >= 0)
    pairs = np.stack([part.truth[wrong], first[wrong]])
    found, counts = np.unique(pairs, axis=1, return_counts=True)
    for at in np.argsort(-counts, kind="stable")[:CONFUSED].tolist():
        truth, answer = (part.names[code] for code in found[:, at].tolist())
        yield Confused(way=way, truth=truth, answer=answer, count=int(counts[at]))
