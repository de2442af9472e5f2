"""How often the intervals of eval's metrics hold the truth, and how long all metrics take.

Answers are drawn with known probabilities; 95 % should hold it.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from rar_agent.evaluation.intervals import (
    Clusters,
    of_bounded,
    of_difference,
    of_estimate,
    of_norm,
    of_share,
)
from rar_agent.evaluation.metrics import measure
from rar_agent.evaluation.metrics.abstention import aurc, auroc
from rar_agent.evaluation.metrics.calibration import bins_of
from rar_agent.evaluation.record import Answer, Ranked, Record

DRAWS = 1_000
_random = np.random.default_rng(0)


def _crossed(images: int, seeds: int, of_seed: float) -> NDArray[np.bool_]:
    """(images, seeds) whether right: images are harder or easier, seeds luckier or not."""
    odds = 0.85 + _random.normal(size=(images, 1)) + of_seed * _random.normal(size=seeds)
    found: NDArray[np.bool_] = _random.random((images, seeds)) < 1 / (1 + np.exp(-odds))
    return found


def _shares(images: int, seeds: int, of_seed: float) -> None:
    truth = _crossed(20_000, 1_000, of_seed).mean()
    codes = np.indices((images, seeds)).reshape(2, -1)
    clusters, share, difference = Clusters(codes[0], codes[1]), 0, 0
    for _ in range(DRAWS):
        one, other = (_crossed(images, seeds, of_seed).ravel() for _ in range(2))
        low, high = of_share(one, clusters)
        share += low <= truth <= high
        low, high = of_difference(one.astype(np.float64) - other, clusters)[0]
        difference += low <= 0 <= high
    words = f"{images} images, {seeds} seeds that differ by {of_seed} in log-odds"
    print(f"top-1 {share / DRAWS:.1%}, difference {difference / DRAWS:.1%}: {words}")  # noqa: T201


def _sure(n: int, power: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities, and answers that are right as often as these to a power."""
    confidence = _random.beta(3, 1.5, n)
    return confidence, _random.random(n) < confidence**power


def _gaps(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    filled, code = np.unique(bins_of(confidence), return_inverse=True)
    gaps: NDArray[np.float64] = (right - confidence)[:, None] * (
        code[:, None] == np.arange(len(filled))
    )
    return gaps


def _probabilities(n: int, power: float) -> None:
    confidence, right = _sure(500_000, power)
    ece = 0.0 if power == 1 else float(np.abs(_gaps(confidence, right).mean(axis=0)).sum())
    truths = (aurc(confidence, right)[0], auroc(confidence, right)[0], ece)
    clusters = Clusters(np.arange(n), np.zeros(n, dtype=np.int64))
    held = np.zeros(3)
    for _ in range(DRAWS):
        confidence, right = _sure(n, power)
        found = (
            of_estimate(*aurc(confidence, right), clusters, 0.0, 1.0),
            of_bounded(*auroc(confidence, right), clusters, n),
            of_norm(_gaps(confidence, right), clusters)[1],
        )
        held += [low <= truth <= high for (low, high), truth in zip(found, truths, strict=True)]
    words = ", ".join(
        f"{name} {share:.1%}"
        for name, share in zip(("AURC", "AUROC", "ECE"), held / DRAWS, strict=True)
    )
    print(f"{words}: {n} images, a true ECE of {ece:.3f}")  # noqa: T201


def _speed() -> None:
    names = [f"category {at}" for at in range(200)]
    records = []
    for cell in (f"{shots}-shot, seed {seed}" for shots in (1, 2, 4, 8, 16) for seed in (1, 2, 3)):
        for image in range(3_333):
            some = tuple(names[at] for at in (image % 200 + _random.permutation(5)) % 200)
            answer = Answer(names=some, probabilities=(0.6, 0.1, 0.1, 0.1, 0.1))
            records.append(
                Record(
                    cell=cell,
                    sample=str(image),
                    truth=names[image % 200],
                    sha256="",
                    knn=answer,
                    retrieval=answer,
                    ranked=answer,
                    ranking=Ranked(calls=1),
                )
            )
    began = time.perf_counter()
    count = len(measure(records))
    print(f"{len(records):,} records, {count:,} metrics: {time.perf_counter() - began:.1f} s")  # noqa: T201


if __name__ == "__main__":
    for images, seeds, of_seed in ((150, 1, 0.0), (150, 3, 0.0), (150, 3, 0.3), (1_000, 3, 0.1)):
        _shares(images, seeds, of_seed)
    for n in (200, 1_000):
        for power in (1.0, 1.3, 2.0):
            _probabilities(n, power)
    _speed()
