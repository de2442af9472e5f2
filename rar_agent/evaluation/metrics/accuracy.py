"""How often a way is right, and how often it could have been."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rar_agent.evaluation.intervals import SHARE, of_bounded, of_share
from rar_agent.evaluation.metrics.columns import Answers, Columns
from rar_agent.evaluation.metrics.metric import Facts, Figure, Kind
from rar_agent.evaluation.suite import Way

TOP_1 = Kind("top-1", "share of images whose first name is the truth", SHARE)
TOP_5 = Kind("top-5", "share of images whose truth is among the first five names", SHARE)
RECALL = Kind(
    "recall@k",
    "share of images whose truth is among the k distinct categories retrieved: no ranking of them "
    "can be right oftener",
    SHARE,
)
GIVEN_RETRIEVED = Kind(
    "top-1 given retrieved",
    "share of right first names among images whose truth is among the names to choose from",
    SHARE,
)
MACRO = Kind(
    "macro top-1",
    "mean over categories of the share of their images whose first name is the truth",
    "Wilson's with the effective number of images, from the variance over categories as clusters "
    "(and seeds), which is that of drawing other categories too: on the wide side",
)
_NOT_RETRIEVED = "nothing is retrieved for a model that is asked alone"
RARE = Kind("rare top-1", "top-1 of images of the categories that count as rare", SHARE)


def accuracy(part: Columns, way: Way, facts: Facts) -> Iterator[Figure]:
    """The accuracies of a way; every record of the part has its answer."""
    answers = part.ways[way]
    n, right = len(part), answers.right
    note = _notes(part, way, facts)
    yield TOP_1.found(float(right.mean()), of_share(right, part.clusters), n, note)
    yield _top_5(part, answers, facts)
    if way != "ranked":  # which only orders what was retrieved
        yield _recall(part, way, answers)
    retrieved = answers.place >= 0
    if way == "alone":
        yield GIVEN_RETRIEVED.missing(_NOT_RETRIEVED, n)
    elif retrieved.any():
        given = right[retrieved]
        interval = of_share(given, part.clusters.take(retrieved))
        yield GIVEN_RETRIEVED.found(float(given.mean()), interval, len(given))
    else:
        yield GIVEN_RETRIEVED.missing("the truth was never among the names", n)
    yield _macro(part, right)
    if not facts.rare:
        yield RARE.missing("the data set says of no category that it is rare", n)
        return
    rare = np.isin(part.truth, [i for i, name in enumerate(part.names) if name in facts.rare])
    if rare.any():
        interval = of_share(right[rare], part.clusters.take(rare))
        yield RARE.found(float(right[rare].mean()), interval, int(rare.sum()))
    else:
        yield RARE.missing("no image of a rare category was asked about", n)


def _top_5(part: Columns, answers: Answers, facts: Facts) -> Figure:
    most, n = int(answers.count.max()), len(part)
    known = [facts.known.get(part.cell_names[cell], 0) for cell in np.unique(part.cells)]
    if most < 5 and not (known and 0 < max(known) <= most):
        return TOP_5.missing(f"the answers name {most} categories at most", n)
    among = (answers.place >= 0) & (answers.place < 5)
    return TOP_5.found(float(among.mean()), of_share(among, part.clusters), n)


def _recall(part: Columns, way: Way, answers: Answers) -> Figure:
    if way == "alone":
        return RECALL.missing(_NOT_RETRIEVED, len(part))
    among = answers.place >= 0
    note = f"k = {answers.count.max()}"
    return RECALL.found(float(among.mean()), of_share(among, part.clusters), len(part), note)


def _macro(part: Columns, right: np.ndarray) -> Figure:
    categories, code, counts = np.unique(part.truth, return_inverse=True, return_counts=True)
    value = float((np.bincount(code, right) / counts).mean())
    influence = (right - value) / counts[code] / len(categories)
    clusters = part.clusters._replace(images=part.truth)
    note = f"{len(categories)} categories"
    if len(categories) == 1:
        return MACRO.found(value, of_share(right, part.clusters), len(part), note)
    # Where all categories are equal, the images still are a sample.
    return MACRO.found(value, of_bounded(value, influence, clusters, len(part)), len(part), note)


def _notes(part: Columns, way: Way, facts: Facts) -> str:
    notes = []
    if way == "ranked":
        share = float(part.asked["ranked"].degraded.mean())
        if share:
            notes.append(f"{100 * share:.1f} % are the retrieval order: ranking failed")
    if way == "alone":
        known = np.array([facts.known.get(name, 0) for name in part.cell_names])[part.cells]
        shown = part.asked["alone"].shown[known > 0] / known[known > 0]
        if len(shown) and shown.mean() < 1:
            notes.append(
                f"{100 * shown.mean():.1f} % of the categories were shown; where the truth was "
                "not, the answer counts as wrong"
            )
    return "; ".join(notes)
