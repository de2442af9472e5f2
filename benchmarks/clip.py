"""The fitted scoring on the reference code's own CLIP vectors, one of each category held out.

    RAR_DATA=FOLDER python -m benchmarks.clip

FOLDER/rar_memory holds a folder a set, with its FAISS index and labels: 3 images a category. Each
in turn is the test image and the others are the memory; nothing of it is in any statistic.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import peers
from benchmarks.features import memory_of
from benchmarks.methods import paired, posterior
from rar_agent.memory.exchange.rar import import_rar


def measure(folder: Path) -> dict[str, float]:
    """Percent of held-out images recognised, by method."""
    name = folder.name
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        whole = import_rar(
            home, name, folder / f"{name}_database.index", folder / f"{name}_database.txt"
        )
        rows = whole.entries.rows("image")
        vectors, labels = whole.entries.vectors(rows), whole.entries.columns[rows].astype(int)
        names = [category.name for category in whole.categories]
        order = np.argsort(labels, kind="stable")
        vectors, labels = vectors[order], labels[order]
        turn = np.concatenate([np.arange(n) for n in np.bincount(labels)])
        right: dict[str, list[np.ndarray]] = {"knn": [], "prototype": [], "fitted": []}
        for fold in range(3):
            out, kept = turn == fold, turn != fold
            known = (vectors[kept], labels[kept])
            memory = memory_of(home / str(fold) / "m", whole.manifest.encoder, *known, names)
            answers = {
                "knn": peers.nearest(*known, vectors[out]),
                "prototype": peers.prototype(*known, vectors[out]),
                "fitted": posterior(memory, vectors[out]),
            }
            for method, scores in answers.items():
                right[method].append(scores.argmax(axis=1) == labels[out])
    all_right = {method: np.concatenate(parts) for method, parts in right.items()}
    found = {method: 100 * float(part.mean()) for method, part in all_right.items()}
    low, high = paired(all_right["fitted"], all_right["knn"])
    return {**found, "low": low, "high": high}


def main() -> None:
    """Print a row a set."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    place = os.environ.get("RAR_DATA")
    if not place:
        sys.exit("RAR_DATA has to name the folder of the data sets")
    out = sys.stdout
    out.write("| set | knn | prototype | fitted | fitted over knn, 95 % |\n|---|---|---|---|---|\n")
    for folder in sorted((Path(place) / "rar_memory").iterdir()):
        found = measure(folder)
        cells = " | ".join(f"{found[m]:.1f}" for m in ("knn", "prototype", "fitted"))
        out.write(f"| {folder.name} | {cells} | {found['low']:+.1f} to {found['high']:+.1f} |\n")
        out.flush()


if __name__ == "__main__":
    main()
