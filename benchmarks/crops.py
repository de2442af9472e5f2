"""Styles of crops beside one of them: top-1 and AP of the same boxes, and how surely they differ.

    rar-agent eval run coco128-crops --out crops && rar-agent eval run coco128-shots --out shots
    python -m benchmarks.crops crops shots [--beside context-blur-0.05]

Boxes of a photograph stand or fall together, so photographs are drawn again. A difference of
top-1 has the interval of `rar-agent eval compare`, with the seeds in it; one of AP the 2.5th and
97.5th percentiles of draws of photographs, the seeds held.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rar_agent.evaluation.intervals import Clusters, Interval, of_bounded, of_difference
from rar_agent.evaluation.metrics.columns import group_of, seed_of
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.run import read_run
from rar_agent.evaluation.suite import Way

Floats = NDArray[np.float64]


class Matched(NamedTuple):
    """What a category's names found, in order of score.

    Attributes:
        right: (overlaps, n) whether each has a box of its category.
        photos: (n,) codes of photographs.
        boxes: (photographs,) boxes of the category in each.
    """

    right: NDArray[np.bool_]
    photos: NDArray[np.int64]
    boxes: Floats


def matched(records: Sequence[Record], way: Way, photos: Mapping[str, int]) -> list[Matched]:
    """Names of given boxes, matched by pycocotools, for each category that has boxes."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    names = sorted({one.truth for one in records})
    truths: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    for at, one in enumerate(records, 1):
        where = {"image_id": photos[photo_of(one)], "bbox": list(one.box or ())}
        truth = {"id": at, "category_id": names.index(one.truth), "iscrowd": 0, "area": one.area}
        truths.append(where | truth)
        answer = getattr(one, way)
        for name, score in zip(answer.names, answer.probabilities, strict=True):
            if name in names:
                said.append(where | {"category_id": names.index(name), "score": score})
    gold = COCO()
    gold.dataset = {
        "info": {},
        "images": [{"id": at} for at in photos.values()],
        "categories": [{"id": at, "name": name} for at, name in enumerate(names)],
        "annotations": truths,
    }
    with redirect_stdout(io.StringIO()):
        gold.createIndex()
        evaluation = COCOeval(gold, gold.loadRes(said), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [len(said)]
        evaluation.evaluate()
    images = evaluation.params.imgIds
    found = []
    for at in range(len(names)):
        of = evaluation.evalImgs[at * len(images) : (at + 1) * len(images)]
        parts = [(image, one) for image, one in zip(images, of, strict=True) if one]
        boxes = np.zeros(len(photos))
        for image, one in parts:
            boxes[image] = len(one["gtIds"])
        scores = np.concatenate([one["dtScores"] for _, one in parts])
        order = np.argsort(-scores, kind="mergesort")
        right = np.concatenate([one["dtMatches"] > 0 for _, one in parts], axis=1)[:, order]
        own = np.concatenate([np.full(len(one["dtScores"]), image) for image, one in parts])
        found.append(Matched(right, own.astype(int)[order], boxes))
    return found


def precision(categories: Sequence[Matched], weights: Floats) -> float:
    """COCO's average precision, each photograph as many times as its weight."""
    recalls = np.linspace(0, 1, 101)
    found = []
    for one in categories:
        boxes = float(weights @ one.boxes)
        if not boxes:
            continue
        weight = weights[one.photos]
        right = np.cumsum(one.right * weight, axis=1)
        share = right / np.maximum(np.cumsum(weight), 1e-9)
        best = np.maximum.accumulate(share[:, ::-1], axis=1)[:, ::-1]
        for reached, level in zip(right / boxes, best, strict=True):
            at = np.searchsorted(reached, recalls)
            found.append(np.append(level, 0.0)[at].mean())
    return float(np.mean(found))


def photo_of(record: Record) -> str:
    """The photograph that a box is in."""
    return record.sample.rpartition("#")[0]


def rows(
    records: Sequence[Record], way: Way, beside: str, draws: int
) -> Iterator[tuple[str, float, Interval, Interval, float, Interval]]:
    """Of each style: name, top-1, intervals of it and of its difference, AP, and likewise."""
    photos = {name: at for at, name in enumerate(sorted({photo_of(one) for one in records}))}
    styles: dict[str, dict[tuple[int, str], Record]] = {}
    for one in records:
        styles.setdefault(group_of(one.cell), {})[seed_of(one.cell), one.sample] = one
    keys = list(styles[beside])
    clusters = Clusters(
        np.array([photos[photo_of(styles[beside][key])] for key in keys]),
        np.array([seed for seed, _ in keys]),
    )
    seeds = sorted({seed for seed, _ in keys})
    random = np.random.default_rng(0)
    drawn = random.multinomial(len(photos), np.full(len(photos), 1 / len(photos)), draws)
    weights = [np.ones(len(photos)), *drawn.astype(float)]
    right, ap = {}, {}
    for style, found in styles.items():
        right[style] = np.array([getattr(found[k], way).names[0] == found[k].truth for k in keys])
        parts = [
            matched([found[key] for key in keys if key[0] == seed], way, photos) for seed in seeds
        ]
        ap[style] = np.array([np.mean([precision(p, w) for p in parts]) for w in weights])
    for style in styles:
        better = right[style].astype(float) - right[beside]
        gain = ap[style] - ap[beside]
        low, high = np.quantile(gain[1:], [0.025, 0.975])
        share = float(right[style].mean())
        yield (
            style,
            share,
            of_bounded(share, (right[style] - share) / len(keys), clusters),
            of_difference(better, clusters)[0],
            ap[style][0],
            Interval(float(low), float(high)),
        )


def chosen(runs: Sequence[Sequence[Record]], way: Way, beside: str, halves: int) -> Iterator[str]:
    """What is lost by choosing on what is measured: chosen on one half, told of the other.

    Args:
        runs: Of the same styles, and photographs.
        way: Whose top-1 decides, its sum over runs.
        beside: Style that the gain is over.
        halves: Draws of half of the photographs.
    """
    photos = sorted({photo_of(one) for records in runs for one in records})
    code = {name: at for at, name in enumerate(photos)}
    right: list[dict[str, Floats]] = []  # of each run and style: (photographs, 2) right, boxes
    for records in runs:
        sums: dict[str, Floats] = {}
        for one in records:
            of = sums.setdefault(group_of(one.cell), np.zeros((len(photos), 2)))
            of[code[photo_of(one)]] += getattr(one, way).names[0] == one.truth, 1
        right.append(sums)

    def top(run: int, style: str, half: NDArray[np.bool_]) -> float:
        found, boxes = right[run][style][half].sum(axis=0)
        return 100 * float(found / boxes)

    random, every = np.random.default_rng(0), range(len(runs))
    best: list[str] = []
    gains: list[list[float]] = []
    for _ in range(halves):
        half = random.permutation(len(photos)) < len(photos) // 2
        sums_of = {style: sum(top(run, style, half) for run in every) for style in right[0]}
        best.append(max(sums_of, key=sums_of.__getitem__))
        gains.append([top(run, best[-1], ~half) - top(run, beside, ~half) for run in every])
    for style, count in Counter(best).most_common():
        yield f"chosen {count} of {halves} times: {style}"
    means = ", ".join(f"{gain:+.1f}" for gain in np.mean(gains, axis=0))
    yield f"top-1 of the other half over {beside}, by run: {means}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of each run and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--beside", default="context-blur-0.05", help="that others differ from")
    parser.add_argument("--draws", type=int, default=500)
    given = parser.parse_args(arguments)
    read = [read_run(run) for run in given.runs]
    for described, records, _ in read:
        title = f"{described['suite']['name']}, {len(records)} answers"
        head = "| style | top-1 | difference | AP | difference |"
        sys.stdout.write(f"\n{title}\n\n{head}\n{'|---' * 5}|\n")
        for style, share, of, better, ap, beside in rows(
            records, "retrieval", given.beside, given.draws
        ):
            top = f"{100 * share:.1f} ({100 * of.low:.1f} to {100 * of.high:.1f})"
            more = f"{100 * better.low:+.1f} to {100 * better.high:+.1f}"
            other = f"{100 * beside.low:+.1f} to {100 * beside.high:+.1f}"
            if style == given.beside:
                more = other = "-"
            sys.stdout.write(f"| `{style}` | {top} | {more} | {100 * ap:.1f} | {other} |\n")
    told = chosen([records for _, records, _ in read], "retrieval", given.beside, given.draws)
    sys.stdout.write("\n" + "\n".join(told) + "\n")


if __name__ == "__main__":
    main()
