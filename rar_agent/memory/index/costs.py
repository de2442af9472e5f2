"""What an index of each kind costs: bytes exactly, times as measured.

Measured with FAISS 1.15.1 on 2 cores (AMD EPYC, AVX-512), float32 in the page cache, on a
Gaussian mixture of 20 rows per category with power-law spectra, 512 dimensions, at 10,000,
100,000 and 1,000,000 rows; one query, one thread; recall@10 of 500 queries. Image queries come
from the mixture; those of another modality are shifted by a gap of their own. Other machines
differ by a factor: `recall.tune` measures before an index is used.
"""

from __future__ import annotations

import math

from rar_agent.memory.index.build import ITERATIONS, SAMPLED_LEAST, SAMPLED_PER_LIST
from rar_agent.memory.index.spec import IndexSpec

EXACT_MS_PER_GB = 27.0
"""5.4 ms for 0.205 GB."""

SCAN_MS_PER_GB = 58.0
"""Lists and centroids of the IVF kinds: 11.5 microseconds for a list of 98 rows of 2 KiB."""

HNSW_MS_PER_EFFORT = 2.7e-3
"""At 100,000 rows of 512 numbers with 24 links; it grows by HNSW_SEARCH_GROWTH."""

HNSW_CALL_MS = 0.04
"""To begin a search and to score what it found."""

HNSW_SEARCH_GROWTH = 0.2
"""Exponent of the rows: 0.0027 ms at 100,000 and 0.0043 at 1,000,000, where memory is farther."""

HNSW_BUILD_SECONDS = 1.0e-4
"""Per row at 100,000 rows of 512 numbers, 24 links, efConstruction 80, on 2 threads: 9.6 s."""

HNSW_BUILD_GROWTH = 0.3
"""Exponent of the rows: 96 microseconds at 100,000; 395 of processor time at 1,000,000, which is
197 on 2 threads (428 passed: others used the cores)."""

CODE_MS = 6e-7
"""Per row and code of the lists that IVF-PQ looks at: 3.8 microseconds for 98 rows of 64."""

RERANK_MS = 1e-3
"""Per row that is compared exactly, 10 of which are wanted: one read out of order."""

FLOPS = 1.5e11
"""Multiplications and additions per second of k-means and of assigning rows to lists.

1.9e11 at 100,000 rows; 0.75e11 at 1,000,000 on cores shared by others.
"""

ADD_SECONDS = 2e-6
"""Per row, to copy it into its list."""

WANTED = 10
"""Rows wanted of the query that `query_ms` is for."""

_GB = 1e9
_FLOAT = 4
_ROW_ID = 8
_CENTROIDS = 256  # of each code


def disk_bytes(spec: IndexSpec) -> int:
    """Size of the index file, beside the vectors' own; right to 1 %, tested on built files."""
    count, row = spec.count, _FLOAT * spec.dimension
    if spec.kind == "hnsw":  # two links per M below, about one above, level and offset
        return count * (8 * spec.links + 16)
    if spec.kind == "ivf":
        return count * (row + _ROW_ID) + spec.lists * (row + 8)
    if spec.kind == "ivf-pq":
        return count * (spec.codes + _ROW_ID) + spec.lists * (row + 8) + _CENTROIDS * row
    return 0


def bytes_held(spec: IndexSpec) -> int:
    """Memory, the page cache included, that makes searches as fast as `query_ms` says.

    Exact search and HNSW read the vectors themselves; the IVF kinds read them only to score what
    they found. With less memory searches are right but wait for the disk.
    """
    if spec.kind in ("ivf", "ivf-pq"):
        return disk_bytes(spec)
    return spec.count * _FLOAT * spec.dimension + disk_bytes(spec)


def build_seconds(spec: IndexSpec) -> float:
    """Time to build on 2 threads."""
    count, dimension = spec.count, spec.dimension
    if spec.kind == "exact":
        return 0.0
    if spec.kind == "hnsw":
        growth = math.pow(max(1.0, count / 1e5), HNSW_BUILD_GROWTH)
        size = spec.links / 24 * spec.construction / 80 * dimension / 512
        return count * HNSW_BUILD_SECONDS * growth * size
    sampled = min(count, max(spec.lists * SAMPLED_PER_LIST, SAMPLED_LEAST))
    work = 2.0 * dimension * spec.lists * (sampled * ITERATIONS + count)
    if spec.kind == "ivf-pq":
        work += 2.0 * dimension * _CENTROIDS * (sampled * 25 + count)  # FAISS's 25 iterations
    return work / FLOPS + count * ADD_SECONDS


def query_ms(spec: IndexSpec) -> float:
    """Time of one query on one thread, all of `bytes_held` in memory."""
    gigabytes = spec.count * _FLOAT * spec.dimension / _GB
    if spec.kind == "exact":
        return gigabytes * EXACT_MS_PER_GB
    if spec.kind == "hnsw":
        growth = math.pow(max(1.0, spec.count / 1e5), HNSW_SEARCH_GROWTH)
        steps = spec.effort * growth * math.sqrt(spec.links / 24) * spec.dimension / 512
        return HNSW_CALL_MS + steps * HNSW_MS_PER_EFFORT
    share = min(1.0, spec.effort / spec.lists)
    coarse = spec.lists * _FLOAT * spec.dimension / _GB * SCAN_MS_PER_GB
    if spec.kind == "ivf":
        return coarse + share * gigabytes * SCAN_MS_PER_GB
    scanned = share * spec.count * spec.codes * CODE_MS
    return coarse + scanned + WANTED * spec.rerank * RERANK_MS
