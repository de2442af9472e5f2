"""Whether probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rar_agent.evaluation.intervals import NORM, Floats, of_norm
from rar_agent.evaluation.metrics.columns import Columns
from rar_agent.evaluation.metrics.metric import Figure, Kind
from rar_agent.evaluation.suite import Way

BINS = 15
"""Of equal width, as in Guo et al."""

ECE = Kind(
    "ECE",
    "expected calibration error: over 15 bins of equal width, the mean distance of the mean "
    "probability of the first names from the share that is right, weighted by images (Guo et al. "
    "2017, arXiv 1706.04599); above 0 by chance even for perfect probabilities",
    NORM,
    better="lower",
)
NO_PROBABILITIES = "this way gives no probabilities"


def bins_of(confidence: Floats) -> NDArray[np.int64]:
    """(n,) bin of each probability."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def calibration(part: Columns, way: Way) -> Iterator[Figure]:
    """The calibration error of a way; every record of the part has its answer."""
    answers = part.ways[way]
    given = ~np.isnan(answers.confidence)
    if not given.any():
        yield ECE.missing(NO_PROBABILITIES, len(part))
        return
    confidence, right = answers.confidence[given], answers.right[given]
    filled, code = np.unique(bins_of(confidence), return_inverse=True)
    gaps = (right - confidence)[:, None] * (code[:, None] == np.arange(len(filled)))
    value, interval = of_norm(gaps, part.clusters.take(given))
    share = float(answers.calibrated[given].mean())
    note = "" if share == 1 else f"{100 * share:.1f} % of the probabilities were calibrated"
    yield ECE.found(value, interval, len(right), note)
