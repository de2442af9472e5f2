"""How often categories are met, from counts in their metadata; off unless it is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from rar_agent.memory.format.manifest import PriorRecord
from rar_agent.memory.scoring.gaussian import Array
from rar_agent.types import Category

WEIGHT = 0.5
"""Exponent where none is given: how often a set has a thing says only so much of other images."""
FREQUENCIES = {"r": 3, "c": 30, "f": 300}
"""Images of LVIS's rare, common and frequent categories, about: 1 to 10, 11 to 100, more."""


def log_prior(categories: Iterable[Category], prior: PriorRecord) -> Array:
    """Logarithm of how often each category is met, but for a constant: weight log(n + 1).

    With n the count in its metadata, the posterior is times (n + 1)^weight, normalised. A category
    without a count is as frequent as the others' mean of logarithms: not to be counted is not to
    be rare.

    Args:
        categories: c of them, in the order of their positions.
        prior: Key of the metadata, and weight.

    Returns:
        (c,) float64; zeros where none has a count.
    """
    counts = [count_of(category.metadata.get(prior.key)) for category in categories]
    logs = np.array([math.nan if n is None else math.log1p(n) for n in counts], np.float64)
    known = np.isfinite(logs)
    logs[~known] = logs[known].mean() if known.any() else 0.0
    weighed: Array = prior.weight * logs
    return weighed


def count_of(value: object) -> float | None:
    """A count as metadata have it: a number, also as text, or LVIS's letter; else None."""
    if isinstance(value, str) and value in FREQUENCIES:
        return FREQUENCIES[value]
    try:
        count = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return count if 0 <= count < math.inf and not isinstance(value, bool) else None
