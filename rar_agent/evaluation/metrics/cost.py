"""What answers take: time, tokens, money, and images that could not be answered."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rar_agent.evaluation.intervals import MEAN, QUANTILE, of_mean, of_quantile, wilson
from rar_agent.evaluation.metrics.columns import Columns, group_of
from rar_agent.evaluation.metrics.metric import Facts, Figure, Kind
from rar_agent.evaluation.suite import Way
from rar_agent.words import counted

P50 = Kind(
    "latency p50",
    "median time of an image, all parts together but encoding, which is done once for all runs",
    QUANTILE,
    "ms",
    better="lower",
)
P95 = Kind(
    "latency p95",
    "time that 95 % of images do not exceed, without encoding",
    QUANTILE,
    "ms",
    better="lower",
)
FAILED = Kind(
    "failed",
    "share of images that could not be answered at all; they count in no other figure",
    "Wilson's score interval (1927); of several cells, as if each had the same images",
    better="lower",
)
INPUT = Kind(
    "input tokens", "mean tokens sent for an image, pictures included", MEAN, "tokens", "lower"
)
OUTPUT = Kind("output tokens", "mean tokens received for an image", MEAN, "tokens", "lower")
COST = Kind("cost", "price of 1,000 images, by the provider's prices", MEAN, "dollars", "lower")


def latency(part: Columns) -> Iterator[Figure]:
    """How long images took."""
    times = part.total_ms[~np.isnan(part.total_ms)]
    for kind, share in ((P50, 0.5), (P95, 0.95)):
        if len(times):
            value = float(np.quantile(times, share, method="inverted_cdf"))
            yield kind.found(value, of_quantile(times, share), len(times))
        else:
            yield kind.missing("nothing was timed", len(part))


def failed(part: Columns, facts: Facts, cell: str, cells: int) -> Figure:
    """How many images of a cell, or of a group of cells, could not be answered."""
    count = sum(number for name, number in facts.failed.items() if cell in (name, group_of(name)))
    n = count + len(part)
    return FAILED.found(count / n, wilson(count / n, n / cells), n)


def spending(part: Columns, way: Way) -> Iterator[Figure]:
    """What a model takes, over all images of the way, also those it was not asked about.

    Answers that were kept from before count with what they took when they were asked for: what a
    way costs does not depend on what was asked earlier, or on where a run was interrupted.
    """
    asked, there = part.asked[way], part.asked[way].there
    kinds = ((INPUT, asked.input_tokens), (OUTPUT, asked.output_tokens), (COST, 1000 * asked.cost))
    kept = int((there & asked.cached).sum())
    note = f"{counted(kept, 'image')} answered before, and not billed again" if kept else ""
    for kind, values in kinds:
        if not there.any():
            yield kind.missing("how the model was asked was not kept", len(part))
        elif np.isnan(values[there]).any():
            yield kind.missing("the model's price is not known", len(part))
        else:
            some = values[there]
            interval = of_mean(some, part.clusters.take(there), 0.0)
            yield kind.found(float(some.mean()), interval, len(some), note)
