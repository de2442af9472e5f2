"""Vectors that resemble embeddings, mapped from a file, and one index of each kind over them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from rar_agent.memory.index.build import build_index
from rar_agent.memory.index.parameters import spec_for
from rar_agent.memory.index.read import open_index

COUNT, DIMENSION = 20_000, 64


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clustered(count, dimension, seed=0, queries=200):
    """Rows, queries like them, and queries of another modality: shifted and vaguer.

    Categories of 20 rows; the spectra of means and of what is within fall by a power law.
    """
    rng = np.random.default_rng(seed)
    falling = np.arange(1, dimension + 1)
    between, within = np.sqrt(1.8 / falling), np.sqrt(1 / np.sqrt(falling) / 8)
    means = rng.normal(size=(max(1, count // 20), dimension)) * between
    gap = np.zeros(dimension)
    gap[-1] = 1.5

    def drawn(size, closeness, shift):
        rows = means[rng.integers(0, len(means), size)] * closeness
        return unit(rows + rng.normal(size=(size, dimension)) * within + shift)

    return drawn(count, 1, 0), drawn(queries, 1, 0), drawn(queries, 0.6, gap)


def mapped(folder: Path, rows):
    path = folder / "rows.vectors"
    rows.astype("<f4").tofile(path)
    return np.memmap(path, "<f4", mode="r").reshape(rows.shape)


@dataclass
class Built:
    vectors: np.ndarray
    queries: np.ndarray
    texts: np.ndarray
    folder: Path
    specs: dict

    def path(self, kind):
        return self.folder / f"{kind}.index"

    def open(self, kind):
        return open_index(self.path(kind), self.specs[kind], self.vectors)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    rows, queries, texts = clustered(COUNT, DIMENSION)
    specs = {
        kind: spec_for(kind, COUNT, DIMENSION, 0.95, "image") for kind in ("hnsw", "ivf", "ivf-pq")
    }
    specs["hnsw"] = replace(specs["hnsw"], links=16, construction=40)  # a shorter test
    built = Built(mapped(folder, rows), queries, texts, folder, specs)
    for kind, spec in specs.items():
        build_index(built.vectors, spec, built.path(kind))
    return built
