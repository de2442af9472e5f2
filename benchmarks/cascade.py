"""Ranking beside not ranking, for simulated rankers from adversarial to perfect, on real images.

    RAR_DATA=FOLDER python -m benchmarks.cascade --out cascade.json

A simulated ranker of accuracy a puts the right candidate first with probability a where it is
shown, else one of the wrong ones; the rest it orders at random. Weight and gate are fitted on
`--calls` exemplars of the memory, left out; all test images are then asked, which are others.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.features import encode, memory_of, record_of
from benchmarks.methods import paired, posterior
from rar_agent.encoders import load_encoder
from rar_agent.graph.conclusion import versions
from rar_agent.memory.left_out import leave_out
from rar_agent.ranking.cascade import Ranked, Retrieved, fit_gate, fit_weight, pick
from rar_agent.ranking.fusion import fuse, place_probabilities
from rar_agent.settings import load_settings

ACCURACIES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
K = 5


class SimulatedRanker:
    """Right with a stated probability where the right candidate is shown; seeded.

    Args:
        accuracy: 0 (adversarial: never) to 1.
        seed: Of its answers.
    """

    def __init__(self, accuracy: float, seed: int) -> None:
        self._accuracy = accuracy
        self._random = np.random.default_rng([seed, int(1000 * accuracy)])

    def rank(self, count: int, truth: int | None) -> np.ndarray:
        """(count,) probability of each candidate, as a listwise answer gives it."""
        order = list(self._random.permutation(count))
        if truth is not None:
            right = self._random.random() < self._accuracy
            order.remove(truth)
            order.insert(0 if right else int(self._random.integers(1, count)), truth)
        return place_probabilities(order, count)


def run(
    data: Path, cache: Path | None, shots: int, seed: int, calls: int
) -> Iterator[dict[str, Any]]:
    """A row for each accuracy of the ranker."""
    encoder = load_encoder("builtin", load_settings(device="cpu"))
    for name in ("cub100", "caltech100"):
        train, test = (encode(encoder, data / name / part, cache) for part in ("train", "test"))
        drawn = train.drawn(data / name / "train", shots, seed)
        with tempfile.TemporaryDirectory() as home:
            memory = memory_of(
                Path(home) / "memories" / "m",
                record_of(encoder),
                train.vectors[drawn],
                train.labels[drawn],
                train.names,
            )
            left = leave_out(memory)
            asked = posterior(memory, test.vectors)
        order = np.argsort(-asked, axis=1, kind="stable")[:, :K]
        right = order[:, 0] == test.labels
        truth = np.exp(left.log_posterior[np.arange(len(left)), left.truth])
        retrieved = Retrieved(left.confidence, np.where(left.places < K, truth, 0.0))
        for accuracy in ACCURACIES:
            ranker = SimulatedRanker(accuracy, seed)
            chosen = pick(retrieved, calls, 0.005, seed)
            sample = [
                Ranked(
                    np.exp(left.log_posterior[i, left.likeliest[i, :K]]).tolist(),
                    ranker.rank(K, place).tolist(),
                    place,
                )
                for i in chosen.tolist()
                for place in [int(left.places[i]) if left.places[i] < K else None]
            ]
            weight = fit_weight(sample)
            gate = fit_gate(retrieved, sample, weight, 0.005)
            final, always = right.copy(), right.copy()
            ask = asked.max(axis=1) < gate
            for i in range(len(right)):
                found = np.flatnonzero(order[i] == test.labels[i])
                place = int(found[0]) if len(found) else None
                ranking = ranker.rank(K, place).tolist()
                first = int(np.argmax(fuse(asked[i, order[i]].tolist(), ranking, weight)))
                always[i] = first == place
                if ask[i]:
                    final[i] = always[i]
            low, high = paired(final, right)
            yield {
                "data": name,
                "shots": shots,
                "seed": seed,
                "ranker": accuracy,
                "weight": weight,
                "gate": gate,
                "calls": 100 * float(ask.mean()),
                "retrieval": 100 * float(right.mean()),
                "ranked": 100 * float(final.mean()),
                "always": 100 * float(always.mean()),
                "low": low,
                "high": high,
                "lost to the gate": 100 * float(always.mean() - final.mean()),
            }


def main() -> None:
    """Print a line for each; write every row as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shots", nargs="+", type=int, default=[4, 16])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--cache", type=Path, help="folder that vectors are kept in")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    place = os.environ.get("RAR_DATA")
    if not place:
        parser.error("RAR_DATA has to name the folder of the data sets")
    found = []
    sys.stdout.write(
        "| data | shots | ranker | weight | gate | calls | retrieval | ranked | 95 % |"
    )
    sys.stdout.write(" lost to the gate |\n" + "|---" * 10 + "|\n")
    for shots in args.shots:
        for seed in args.seeds:
            for row in run(Path(place).resolve(), args.cache, shots, seed, args.calls):
                found.append(row)
                sys.stdout.write(
                    f"| {row['data']} | {shots} | {100 * row['ranker']:.0f} | {row['weight']:.2f} "
                    f"| {row['gate']:.3f} | {row['calls']:.1f} | {row['retrieval']:.1f} "
                    f"| {row['ranked']:.1f} | {row['low']:+.1f} to {row['high']:+.1f} "
                    f"| {row['lost to the gate']:.2f} |\n"
                )
                sys.stdout.flush()
    if args.out:
        args.out.write_text(json.dumps({"versions": versions(), "rows": found}, indent=1))


if __name__ == "__main__":
    main()
