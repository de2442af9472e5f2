"""Building an index file over the rows of a vector file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from rar_agent.encoders import FloatArray
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.memory.index.exact import threads
from rar_agent.memory.index.spec import IndexSpec
from rar_agent.memory.index.untyped import FaissObject, faiss

Progress = Callable[[int, int], None]
"""Called with rows added and rows in all; may raise to stop the build."""

SAMPLED_PER_LIST = 64
"""Rows per list that centroids are trained on; FAISS wants 39 at least."""

SAMPLED_LEAST = 16_384
"""Rows that codes are trained on at least: 64 for each of 256 centroids."""

ITERATIONS = 10
"""Of k-means."""

CODE_BITS = 8
"""Of one code of IVF-PQ."""

_CHUNK = 65_536  # rows copied at a time: 128 MiB at 512 dimensions


def build_index(
    vectors: FloatArray,
    spec: IndexSpec,
    path: Path,
    progress: Progress | None = None,
    seed: int = 0,
) -> None:
    """Build an index of unit rows and write its file. The same seed gives the same file.

    HNSW is built over 8-bit codes of the rows and written without them: searches read the rows
    themselves. The IVF kinds train on a sample and add in chunks, so memory holds the index and
    one chunk. Neither syncs nor renames the file: the caller makes it durable.

    Args:
        vectors: (n, d) float32 unit rows; may be memory-mapped.
        spec: From `plan_index`; not exact.
        path: File to write, in a folder that exists.
        progress: Called after each chunk.
        seed: Of the sample, the centroids and the layers; 0 or more.

    Raises:
        InputError: The vectors are not those that the spec was made for, or the kind is exact.
        ConfigurationError: The file cannot be written.
    """
    if spec.kind == "exact" or vectors.shape != (spec.count, spec.dimension):
        raise InputError(
            f"An index of kind {spec.kind} for ({spec.count}, {spec.dimension}) rows cannot be "
            f"built from {vectors.shape}.",
            "Plan again for these vectors; an exact search needs no index file.",
        )
    faiss.omp_set_num_threads(threads())
    rng = np.random.default_rng(seed)
    if spec.kind == "hnsw":
        graph, storage = _new_graph(vectors, spec, rng, seed)
        _add(graph, vectors, progress)
        _write(graph, path, faiss.IO_FLAG_SKIP_STORAGE)
        del storage  # the graph does not own it; it had to live until here
    else:
        index = _new_lists(vectors, spec, rng, seed)
        _add(index, vectors, progress)
        _write(index, path, 0)


def _new_graph(
    vectors: FloatArray, spec: IndexSpec, rng: np.random.Generator, seed: int
) -> tuple[FaissObject, FaissObject]:
    metric = faiss.METRIC_INNER_PRODUCT
    # 8 bits a number: a quarter of the memory, no slower, and no loss of recall (plan.py).
    storage = faiss.IndexScalarQuantizer(spec.dimension, faiss.ScalarQuantizer.QT_8bit, metric)
    storage.train(_sample(vectors, SAMPLED_LEAST, rng))
    graph = faiss.IndexHNSWFlat(spec.dimension, spec.links, metric)
    graph.own_fields = False
    graph.storage = storage
    graph.hnsw.efConstruction = spec.construction
    graph.hnsw.rng = faiss.RandomGenerator(seed)
    # Growing by doubling would hold three times the bytes for a moment.
    storage.codes.resize(spec.count * storage.code_size)
    storage.codes.resize(0)
    graph.hnsw.neighbors.resize(spec.count * (2 * spec.links + 2))
    graph.hnsw.neighbors.resize(0)
    return graph, storage


def _new_lists(
    vectors: FloatArray, spec: IndexSpec, rng: np.random.Generator, seed: int
) -> FaissObject:
    coarse = faiss.IndexFlatIP(spec.dimension)
    shape = (coarse, spec.dimension, spec.lists)
    metric = faiss.METRIC_INNER_PRODUCT
    if spec.kind == "ivf":
        index = faiss.IndexIVFFlat(*shape, metric)
    else:
        index = faiss.IndexIVFPQ(*shape, spec.codes, CODE_BITS, metric)
        index.pq.cp.seed = seed + 1
        index.pq.cp.min_points_per_centroid = 1  # what is too few is the plan's matter
    index.cp.seed = seed + 1
    index.cp.niter = ITERATIONS
    index.cp.spherical = True
    index.cp.min_points_per_centroid = 1
    wanted = spec.lists * SAMPLED_PER_LIST
    if spec.kind == "ivf-pq":
        wanted = max(wanted, SAMPLED_LEAST)
    index.train(_sample(vectors, wanted, rng))
    return index


def _sample(vectors: FloatArray, wanted: int, rng: np.random.Generator) -> FloatArray:
    """Some of the rows, copied, in the file's order."""
    if wanted >= len(vectors):
        return np.ascontiguousarray(vectors)
    rows: FloatArray = vectors[np.sort(rng.choice(len(vectors), wanted, replace=False))]
    return rows


def _add(index: FaissObject, vectors: FloatArray, progress: Progress | None) -> None:
    for first in range(0, len(vectors), _CHUNK):
        index.add(np.ascontiguousarray(vectors[first : first + _CHUNK]))
        if progress:
            progress(int(index.ntotal), len(vectors))


def _write(index: FaissObject, path: Path, flags: int) -> None:
    try:
        with path.open("wb") as file:  # FAISS's own would not say that the last bytes are missing
            faiss.write_index(index, faiss.PyCallbackIOWriter(file.write), flags)
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise ConfigurationError(
            f"The index file '{path}' cannot be written: {error.strerror}.",
            "Make room, or set RAR_HOME to a folder that can be written.",
        ) from error
