"""Ranking beside not ranking, for simulated rankers from adversarial to perfect, on real images.

    RAR_DATA=FOLDER python -m benchmarks.cascade --out cascade.json --plot cascade.png

What `memory calibrate` and recognition do, but for the pictures: `--calls` are spent on exemplars
of the memory, left out; then all test images are asked, which are others. How the rankers err is
in `benchmarks/simulated.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.features import encode, memory_of, record_of
from benchmarks.methods import paired, posterior
from benchmarks.simulated import KINDS, Kind, Photo, SimulatedRanker
from rar_agent.encoders import load_encoder
from rar_agent.graph.calibrate import Calibration
from rar_agent.graph.cascade import Cascade, accept_from, shown
from rar_agent.graph.conclusion import versions
from rar_agent.memory import Memory
from rar_agent.memory.left_out import LeftOut, leave_out
from rar_agent.ranking.cascade import Allowed
from rar_agent.settings import load_settings
from rar_agent.types import Candidate, Exemplar

ACCURACIES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
RATES = (0.05, 0.1)
K = 5


@dataclass(frozen=True)
class Query:
    """A test image, retrieved."""

    photo: Photo
    candidates: list[Candidate]
    probabilities: list[float]


def run(
    data: Path,
    names: Sequence[str],
    cache: Path | None,
    shots: int,
    seed: int,
    calls: int,
    allowed: Allowed,
) -> Iterator[dict[str, Any]]:
    """A row for each data set, kind of ranker and accuracy."""
    encoder = load_encoder("builtin", load_settings(device="cpu"))
    for name in names:
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
            queries = [
                _query(memory, row, Photo(train.names[label], 1_000_000 + number))
                for number, (row, label) in enumerate(
                    zip(posterior(memory, test.vectors), test.labels, strict=True)
                )
            ]
            for kind in KINDS:
                for accuracy in ACCURACIES[:: 1 if kind == "places" else 2]:
                    found = judged(memory, left, queries, kind, accuracy, seed, calls, allowed)
                    yield {"data": name, "shots": shots, "seed": seed, **found}


def _query(memory: Memory, row: np.ndarray, photo: Photo) -> Query:
    best = np.argsort(-row, kind="stable")[:K]
    probabilities = [min(1.0, float(p)) for p in row[best]]
    candidates = [
        Candidate(
            category=memory.categories[int(column)],
            score=min(0.0, float(np.log(p))),
            probability=p,
            evidence=("image",),
        )
        for column, p in zip(best, probabilities, strict=True)
    ]
    return Query(photo, candidates, probabilities)


def judged(
    memory: Memory,
    left: LeftOut,
    queries: Sequence[Query],
    kind: Kind,
    accuracy: float,
    seed: int,
    calls: int,
    allowed: Allowed,
) -> dict[str, Any]:
    """Calibrate a ranker on a memory, and ask it about all queries."""
    numbers = {left.exemplar(number).entry: number for number in range(len(left))}

    def picture(exemplar: Exemplar) -> Any:  # noqa: ANN401 - a photo in words
        number = numbers[exemplar.entry]
        return Photo(left.category(number).name, number)

    ranker = SimulatedRanker(kind, accuracy, seed)
    settings = load_settings(
        model="openai:simulated", ranker=cast("Any", ranker.name), k=K, orders=1, exemplars=0
    )
    record = Calibration(left, ranker, settings, picture, calls, allowed, seed).run()
    cascade, ranker = Cascade(record, ""), SimulatedRanker(kind, accuracy, seed, record.prior)
    alone, final, always, asked, sure, told = [], [], [], [], [], []
    for query in queries:
        names = [candidate.category.name for candidate in query.candidates]
        truth = names.index(query.photo.name) if query.photo.name in names else None
        count = shown(memory, query.probabilities)
        ranking = ranker.rank(query.photo, query.candidates[:count], query.photo.number)
        fused = cascade.fused(query.probabilities, ranking.probabilities, 1.0)
        ask = not cascade.skips(memory, query.probabilities, fitted=True)
        alone.append(truth == 0)
        always.append(int(np.argmax(fused)) == truth)
        asked.append(ask)
        final.append(always[-1] if ask else alone[-1])
        sure.append(max(fused))
        if truth is not None and truth < count:
            told.append(ranking.order[0] == truth)
    right, before = np.array(final), np.array(alone)
    low, high = paired(right, before)
    row = {
        "kind": kind,
        "accuracy": accuracy,
        "true": 100 * float(np.mean(told)),
        "weight": record.weight,
        "gate": record.gate,
        "prior": bool(record.prior),
        "bias": record.bias,
        "calls": 100 * float(np.mean(asked)),
        "retrieval": 100 * float(before.mean()),
        "ranked": 100 * float(right.mean()),
        "low": low,
        "high": high,
        "lost": 100 * float(np.mean(always) - right.mean()),
    }
    ask_mask = np.array(asked)
    for rate in RATES:
        accepted = ask_mask & (np.array(sure) >= accept_from(memory, record, rate)[0])
        row[f"accepted {rate}"] = int(accepted.sum())
        row[f"wrong {rate}"] = int((accepted & ~right).sum())
    return row


def summary(found: Sequence[dict[str, Any]]) -> str:
    """The table of the docs, and what was promised beside what was kept."""
    settings = list(dict.fromkeys((row["data"], row["shots"]) for row in found))
    heads = " | ".join(f"{data}, {shots} shots" for data, shots in settings)
    lines = [f"| ranker | {heads} |", "|---" * (len(settings) + 1) + "|"]
    for kind, accuracy in dict.fromkeys((row["kind"], row["accuracy"]) for row in found):
        cells = []
        for data, shots in settings:
            part = [
                row
                for row in found
                if (row["data"], row["shots"], row["kind"], row["accuracy"])
                == (data, shots, kind, accuracy)
            ]
            true, alone, ranked, calls = (
                np.mean([row[what] for row in part])
                for what in ("true", "retrieval", "ranked", "calls")
            )
            cells.append(f"{true:.0f}: {alone:.1f} → {ranked:.1f}, {calls:.0f}")
        lines.append(f"| {kind} {100 * accuracy:.0f} | " + " | ".join(cells) + " |")
    worst = min(found, key=lambda row: row["low"])
    lost = max(found, key=lambda row: row["lost"])
    lines += [
        "",
        f"{len(found)} settings; lowest end of a paired 95 % interval: {worst['low']:+.2f} points "
        f"({worst['kind']} {worst['accuracy']}, {worst['data']}, {worst['shots']} shots, seed "
        f"{worst['seed']}); most lost to not asking: {lost['lost']:.2f} points",
    ]
    for rate in RATES:
        part = [row for row in found if row[f"accepted {rate}"]]
        accepted, wrong = (
            np.array([row[f"{what} {rate}"] for row in part]) for what in ("accepted", "wrong")
        )
        over = (wrong > rate * accepted).sum()
        surely = (wrong > rate * accepted + 1.645 * np.sqrt(rate * (1 - rate) * accepted)).sum()
        share = 100 * wrong.sum() / max(1, accepted.sum())
        lines.append(
            f"error rate {rate}: promised in {len(part)} settings; accepted ranked answers err in "
            f"{share:.1f} %; more often than promised in {over}, beyond binomial noise in {surely}"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print a line for each, and a summary; write every row as JSON, and a picture, where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="+", default=["cub100", "caltech100"])
    parser.add_argument("--shots", nargs="+", type=int, default=[4, 16])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--points", type=float, default=0.5, help="allowed to be lost")
    parser.add_argument("--asked", type=float, help="in its place: share to ask about at most")
    parser.add_argument("--cache", type=Path, help="folder that vectors are kept in")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path, help="picture to write: .png")
    args = parser.parse_args()
    place = os.environ.get("RAR_DATA")
    if not place:
        parser.error("RAR_DATA has to name the folder of the data sets")
    allowed = Allowed(args.points / 100, args.asked)
    found = []
    for shots in args.shots:
        for seed in args.seeds:
            folder = Path(place).resolve()
            for row in run(folder, args.data, args.cache, shots, seed, args.calls, allowed):
                found.append(row)
                sys.stderr.write(
                    f"{row['data']} {shots} {seed} {row['kind']} {row['accuracy']}: weight "
                    f"{row['weight']:.2f} gate {row['gate']:.3f} {row['retrieval']:.1f} -> "
                    f"{row['ranked']:.1f} ({row['low']:+.2f}), asked {row['calls']:.0f}\n"
                )
    sys.stdout.write(summary(found))
    if args.out:
        args.out.write_text(json.dumps({"versions": versions(), "rows": found}, indent=1))
    if args.plot:
        from benchmarks.curves import draw

        draw(found, args.plot)


if __name__ == "__main__":
    main()
