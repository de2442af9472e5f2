"""What ranking by a model changes, and how well it is asked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rar_agent.evaluation.intervals import DIFFERENCE, NORM, SHARE, of_difference, of_norm, of_share
from rar_agent.evaluation.metrics.columns import Asked, Columns
from rar_agent.evaluation.metrics.metric import Figure, Kind
from rar_agent.evaluation.suite import Way

CORRECTIONS = Kind(
    "corrections", "share of images that retrieval had wrong and ranking put right", SHARE
)
REGRESSIONS = Kind(
    "regressions",
    "share of images that retrieval had right and ranking put wrong",
    SHARE,
    better="lower",
)
GAIN = Kind(
    "gain by ranking",
    "top-1 with ranking less top-1 of retrieval on the same images: corrections less regressions",
    DIFFERENCE,
    unit="difference",
)
ASKED = Kind("asked", "share of images about which the model was asked", SHARE, better="")
REPAIRED = Kind(
    "repaired",
    "share of answers in which letters were lost, invented or repeated, and were made good",
    SHARE,
    better="lower",
)
UNREADABLE = Kind(
    "unreadable", "share of answers in which nothing could be read", SHARE, better="lower"
)
DEGRADED = Kind(
    "degraded",
    "share of images for which ranking failed, so that the retrieval order stood",
    SHARE,
    better="lower",
)
ORDER_BIAS = Kind(
    "order bias",
    "how far the letters' shares of first places, over all rotations of the options, are from "
    "even, as a share of the farthest (total variation; after Zheng et al. 2023, arXiv 2309.03882)",
    NORM,
    better="lower",
)


def ranking(part: Columns) -> Iterator[Figure]:
    """What ranking changed; every record of the part has a ranked answer."""
    both = part.ways["retrieval"].there
    if not both.any():
        for kind in (CORRECTIONS, REGRESSIONS, GAIN):
            yield kind.missing("retrieval's own answers were not kept", len(part))
        return
    before, after = part.ways["retrieval"].right[both], part.ways["ranked"].right[both]
    clusters = part.clusters.take(both)
    for kind, changed in ((CORRECTIONS, ~before & after), (REGRESSIONS, before & ~after)):
        yield kind.found(float(changed.mean()), of_share(changed, clusters), len(before))
    gain = after.astype(np.float64) - before
    yield GAIN.found(float(gain.mean()), of_difference(gain, clusters)[0], len(gain))


def asking(part: Columns, way: Way) -> Iterator[Figure]:
    """How a model was asked, for ranking or alone."""
    asked = part.asked[way]
    kinds = (ASKED, DEGRADED, REPAIRED, UNREADABLE, ORDER_BIAS)
    if not asked.there.any():
        for kind in kinds:
            yield kind.missing("how the model was asked was not kept", len(part))
        return
    part = part.take(asked.there)
    asked, n = part.asked[way], len(part)
    for kind, which in ((ASKED, asked.called), (DEGRADED, asked.degraded)):
        yield kind.found(float(which.mean()), of_share(which, part.clusters), n)
    answered = asked.called & (asked.status != "not_asked")
    for kind, status in ((REPAIRED, "repaired"), (UNREADABLE, "failed")):
        if answered.any():
            which = asked.status[answered] == status
            interval = of_share(which, part.clusters.take(answered))
            note = f"{asked.repairs[answered].sum():,} repairs" if kind is REPAIRED else ""
            yield kind.found(float(which.mean()), interval, len(which), note)
        else:
            yield kind.missing("the model answered nothing", n)
    yield _order_bias(part, asked)


def _order_bias(part: Columns, asked: Asked) -> Figure:
    lengths = np.array([len(letters) for letters in asked.letters])
    most = int(lengths.max())
    if most < 2:
        return ORDER_BIAS.missing("the options were not shown in all rotations", len(part))
    whole = lengths == most
    shares = np.array([list(letters) for letters in asked.letters[whole]])
    parts = 0.5 * (shares - 1 / most) / (1 - 1 / most)
    value, interval = of_norm(parts, part.clusters.take(whole))
    return ORDER_BIAS.found(value, interval, int(whole.sum()), f"{most} letters")
