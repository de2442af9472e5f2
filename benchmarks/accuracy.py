"""Retrieval alone on real images, beside the paper's kNN on the same features.

    RAR_DATA=FOLDER python -m benchmarks.accuracy --out accuracy.json

FOLDER holds one folder a data set, each with {train,test}/<class>/*.jpg. Shots are drawn by the
seed from train; all test images are asked. Everything is chosen on the memory alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rar_agent.encoders import Encoder, FloatArray, load_encoder
from rar_agent.graph.conclusion import versions
from rar_agent.images import admit
from rar_agent.memory import Memory, create_memory, read_folder
from rar_agent.memory.scoring.calibration import expected_calibration_error
from rar_agent.memory.search import Method
from rar_agent.settings import load_settings


class RememberingEncoder:
    """Encodes each image once, however many memories learn it."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[int, tuple[FloatArray, np.float32]] = {}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._encoder, name)

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """See `Encoder.encode_images`."""
        return self.encode_images_with_norms(images)[0]

    def encode_images_with_norms(
        self, images: Sequence[Image.Image]
    ) -> tuple[FloatArray, FloatArray]:
        """See `Encoder.encode_images_with_norms`."""
        keys = [hash(image.tobytes()) for image in images]
        new = [i for i, key in enumerate(keys) if key not in self._known]
        if new:
            vectors, norms = self._encoder.encode_images_with_norms([images[i] for i in new])
            for i, vector, norm in zip(new, vectors, norms, strict=True):
                self._known[keys[i]] = (vector, norm)
        found = [self._known[key] for key in keys]
        return np.stack([v for v, _ in found]), np.array([n for _, n in found], np.float32)


def encode_folder(encoder: Encoder, folder: Path) -> tuple[FloatArray, FloatArray, list[str]]:
    """Embeddings, norms and category names of all images of a folder of folders."""
    vectors, norms, names = [], [], []
    for category, paths in read_folder(folder):
        for start in range(0, len(paths), 64):
            part = paths[start : start + 64]
            found = encoder.encode_images_with_norms([admit(path).rgb for path in part])
            vectors.append(found[0])
            norms.append(found[1])
            names += [category.name] * len(part)
    return np.concatenate(vectors), np.concatenate(norms), names


def measure(
    memory: Memory, queries: tuple[FloatArray, FloatArray, list[str]], method: Method
) -> dict[str, float]:
    """Top-1, recall at 5 (both percent) and ECE of a memory over test images."""
    vectors, norms, names = queries
    found = memory.search(vectors, norms, k=5, exemplars=0, method=method)
    answers = [[candidate.category.name for candidate in result.candidates] for result in found]
    first = np.array([a[0] == name for a, name in zip(answers, names, strict=True)])
    within = np.array([name in a for a, name in zip(answers, names, strict=True)])
    top = np.array([result.candidates[0].probability for result in found])
    alone = np.mean([not result.similar_enough for result in found])
    return {
        "top1": 100 * float(first.mean()),
        "recall5": 100 * float(within.mean()),
        "ece": 100 * expected_calibration_error(top, first),
        "abstained": 100 * float(alone),
    }


def rows(
    data: Path, sets: Sequence[str], shots: Sequence[int], seeds: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """One row for each data set and number of shots, means over the seeds."""
    settings = load_settings(device="cpu")
    encoder: Any = RememberingEncoder(load_encoder("builtin", settings))
    for name in sets:
        queries = encode_folder(encoder, data / name / "test")
        for count in shots:
            runs: list[dict[str, Any]] = []
            for seed in seeds:
                with tempfile.TemporaryDirectory() as home:
                    taught = read_folder(data / name / "train", count, seed)
                    memory = create_memory(Path(home), "m", encoder, taught).memory
                    assert memory is not None
                    runs.append(
                        {
                            "fitted": measure(memory, queries, "fitted"),
                            "knn": measure(memory, queries, "knn"),
                            "method": memory.describe_method(),
                        }
                    )
            yield {
                "data": name,
                "shots": count,
                "seeds": list(seeds),
                "images": len(queries[2]),
                "methods": [run["method"] for run in runs],
                **{
                    f"{way}_{figure}": float(np.mean([run[way][figure] for run in runs]))
                    for way in ("fitted", "knn")
                    for figure in runs[0][way]
                },
                "runs": runs,
            }


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", default=["cub100", "caltech100"])
    parser.add_argument("--shots", nargs="+", type=int, default=[4, 16])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    place = os.environ.get("RAR_DATA")
    if not place:
        parser.error("RAR_DATA has to name the folder of the data sets")
    out = sys.stdout
    out.write("| data | shots | top-1 | recall@5 | ECE | kNN top-1 | kNN recall@5 |\n")
    out.write("|---|---|---|---|---|---|---|\n")
    found = []
    for row in rows(Path(place), args.sets, args.shots, args.seeds):
        found.append(row)
        out.write(
            f"| {row['data']} | {row['shots']} | {row['fitted_top1']:.1f} | "
            f"{row['fitted_recall5']:.1f} | {row['fitted_ece']:.1f} | {row['knn_top1']:.1f} | "
            f"{row['knn_recall5']:.1f} |\n"
        )
        out.flush()
    if args.out:
        args.out.write_text(json.dumps({"versions": versions(), "rows": found}, indent=1))


if __name__ == "__main__":
    main()
