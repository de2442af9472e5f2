"""The fitted scoring beside single methods, with its calibration, on real images and CLIP vectors.

    RAR_DATA=FOLDER python -m benchmarks.methods --out methods.json

Shots are drawn from train by the seed; all test images are asked; nothing is chosen on them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.features import Features, encode, memory_of, record_of, text_vectors
from rar_agent.encoders import Encoder, FloatArray, load_encoder
from rar_agent.graph.conclusion import versions
from rar_agent.memory import Memory
from rar_agent.memory.scoring.calibration import expected_calibration_error
from rar_agent.settings import load_settings

SINGLE: dict[str, Callable[[FloatArray, np.ndarray, FloatArray], np.ndarray]] = {
    "knn": peers.nearest,
    "prototype": peers.prototype,
    "tip": peers.tip_adapter,
    "gda": peers.gda,
    "gda root": lambda v, y, q: peers.gda(peers.root(v), y, peers.root(q)),
}
COVERAGES = (0.9, 0.95)
RATES = (0.05, 0.1)


def posterior(memory: Memory, queries: FloatArray) -> np.ndarray:
    """(q, c) probabilities over all categories."""
    norms, columns = np.ones(len(queries), np.float32), np.arange(len(memory.categories))
    parts = [
        np.exp(memory.scorer.log_posterior(queries[i : i + 512], norms[i : i + 512], columns))
        for i in range(0, len(queries), 512)
    ]
    return np.concatenate(parts)


def measured(memory: Memory, test: Features, strangers: FloatArray) -> dict[str, Any]:
    """Accuracy, calibration, sets, thresholds and open-set scores of a memory on test images."""
    found, right = posterior(memory, test.vectors), None
    best = found.argmax(axis=1)
    right, sure = best == test.labels, found.max(axis=1)
    truth = found[np.arange(len(found)), test.labels]
    order = np.argsort(-found, axis=1, kind="stable")[:, :5]
    row: dict[str, Any] = {
        "fitted": 100 * float(right.mean()),
        "recall5": 100 * float((order == test.labels[:, None]).any(axis=1).mean()),
        "ece": 100 * expected_calibration_error(sure, right),
        "method": memory.describe_method(),
        "right": right,
    }
    calibration = memory.calibration
    if calibration is None or not memory.calibrated:
        return row
    for coverage in COVERAGES:
        inside = found >= calibration.include_from(coverage)
        inside[np.arange(len(found)), best] = True
        held = truth >= calibration.include_from(coverage)
        row[f"covered {coverage}"] = 100 * float((held | right).mean())
        row[f"size {coverage}"] = float(inside.sum(axis=1).mean())
    for rate in RATES:
        accepted = sure >= calibration.accept_from(rate)
        row[f"accepted {rate}"] = 100 * float(accepted.mean())
        wrong = 1 - right[accepted].mean() if accepted.any() else 0.0
        row[f"error {rate}"] = 100 * float(wrong)
    columns = np.arange(len(memory.categories))
    known = memory.scorer.familiarity(test.vectors, columns)
    unknown = memory.scorer.familiarity(strangers, columns)
    assert known is not None and unknown is not None  # noqa: PT018 - the memory has exemplars
    row["auroc"] = 100 * auroc(known, unknown)
    row["fpr95"] = 100 * float((unknown >= np.quantile(known, 0.05)).mean())
    return row


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Chance that a known image scores higher than an unknown one; ties count half."""
    order = np.sort(unknown)
    below = np.searchsorted(order, known, side="left") + np.searchsorted(order, known, side="right")
    return float(below.mean() / 2 / len(unknown))


def rows(
    data: Path, encoder: Encoder, shots: Sequence[int], seeds: Sequence[int], cache: Path | None
) -> Iterator[dict[str, Any]]:
    """One row for each data set, number of shots and seed."""
    sets = {
        name: tuple(encode(encoder, data / name / part, cache) for part in ("train", "test"))
        for name in ("cub100", "caltech100")
    }
    others = {"cub100": "caltech100", "caltech100": "cub100"}
    for name, (train, test) in sets.items():
        texts = text_vectors(encoder, train.names)
        strangers = sets[others[name]][1].vectors
        for count in shots:
            for seed in seeds:
                drawn = train.drawn(data / name / "train", count, seed)
                vectors, labels = train.vectors[drawn], train.labels[drawn]
                with tempfile.TemporaryDirectory() as home:
                    place = Path(home) / "memories"
                    memory = memory_of(
                        place / "m", record_of(encoder), vectors, labels, train.names
                    )
                    row = measured(memory, test, strangers)
                    both = memory_of(
                        place / "t", record_of(encoder), vectors, labels, train.names, texts
                    )
                    named = posterior(both, test.vectors).argmax(axis=1) == test.labels
                row["with names"] = 100 * float(named.mean())
                row["names alone"] = 100 * float(
                    (
                        (test.vectors @ np.stack(list(texts.values())).T).argmax(axis=1)
                        == test.labels
                    ).mean()
                )
                row["names interval"] = paired(named, row["right"])
                for single, method in SINGLE.items():
                    answers = method(vectors, labels, test.vectors).argmax(axis=1)
                    row[single] = 100 * float((answers == test.labels).mean())
                    if single == "knn":
                        row["knn interval"] = paired(row["right"], answers == test.labels)
                del row["right"]
                yield {"data": name, "shots": count, "seed": seed, **row}


def paired(one: np.ndarray, other: np.ndarray, draws: int = 2_000) -> tuple[float, float]:
    """95 % bootstrap interval of the difference in accuracy on the same images, in points."""
    difference = one.astype(float) - other.astype(float)
    random = np.random.default_rng(0)
    picks = random.integers(0, len(difference), (draws, len(difference)))
    low, high = np.quantile(difference[picks].mean(axis=1), [0.025, 0.975])
    return 100 * float(low), 100 * float(high)


def table(found: list[dict[str, Any]], columns: Sequence[str]) -> str:
    """Means over the seeds, as Markdown."""
    lines = ["| data | shots | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for data, count in dict.fromkeys((row["data"], row["shots"]) for row in found):
        part = [row for row in found if (row["data"], row["shots"]) == (data, count)]
        cells = [
            f"{np.mean([row[c] for row in part]):.1f}" if all(c in row for row in part) else ""
            for c in columns
        ]
        lines.append(f"| {data} | {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the tables; write every row as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shots", nargs="+", type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--cache", type=Path, help="folder that vectors are kept in")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    place = os.environ.get("RAR_DATA")
    if not place:
        parser.error("RAR_DATA has to name the folder of the data sets")
    encoder = load_encoder("builtin", load_settings(device="cpu"))
    found = []
    for row in rows(Path(place).resolve(), encoder, args.shots, args.seeds, args.cache):
        found.append(row)
        sys.stderr.write(f"{row['data']} {row['shots']} {row['seed']}: {row['fitted']:.1f}\n")
    out = sys.stdout
    out.write(table(found, [*SINGLE, "fitted", "recall5", "ece"]))
    out.write("\n" + table(found, ["fitted", "names alone", "with names"]))
    sets = [f"{kind} {c}" for c in COVERAGES for kind in ("covered", "size")]
    sets += [f"{kind} {r}" for r in RATES for kind in ("accepted", "error")]
    out.write("\n" + table([r for r in found if "auroc" in r], [*sets, "auroc", "fpr95"]))
    settings = {(row["data"], row["shots"]) for row in found}
    gaps = []
    for data, count in settings:
        part = [row for row in found if (row["data"], row["shots"]) == (data, count)]
        best = max(float(np.mean([row[single] for row in part])) for single in SINGLE)
        gaps.append(best - float(np.mean([row["fitted"] for row in part])))
    out.write(f"\nunder the best single method of each setting, on average: {np.mean(gaps):.2f}\n")
    if args.out:
        args.out.write_text(json.dumps({"versions": versions(), "rows": found}, indent=1))


if __name__ == "__main__":
    main()
