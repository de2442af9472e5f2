"""Opening an index file: FAISS parses it within limits, then its structure is checked.

FAISS's parser is C++ and not made for hostile input: call `open_index` only on a file that
`trust.Trust.may_parse` allows. The checks here are for files of another shape than the manifest
says, not for forged ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rar_agent.encoders import FloatArray
from rar_agent.errors import DamagedDataError, InputError
from rar_agent.memory.index.approximate import ApproximateIndex, flat_view
from rar_agent.memory.index.build import CODE_BITS
from rar_agent.memory.index.limits import LOOPS, read_index
from rar_agent.memory.index.spec import IndexSpec
from rar_agent.memory.index.untyped import FaissObject, faiss

_TYPES = {"hnsw": "IndexHNSWFlat", "ivf": "IndexIVFFlat", "ivf-pq": "IndexIVFPQ"}
_REBUILD = "Delete it; it can be built again from the vectors, which are still searched exactly."


def open_index(path: Path, spec: IndexSpec, vectors: FloatArray) -> ApproximateIndex:
    """Open an index file, mapped rather than read (FAISS's `IO_FLAG_MMAP_IFC`).

    Args:
        path: A file that `build_index` wrote and `Trust.may_parse` allows.
        spec: What it was built to.
        vectors: (n, d) float32: the rows it was built over, usually memory-mapped. HNSW walks
            them in place.

    Raises:
        DamagedDataError: The file is missing, cannot be parsed within its own size, or is not
            what the spec says.
        InputError: The vectors are not those of the spec.
    """
    if vectors.shape != (spec.count, spec.dimension) or vectors.dtype != np.float32:
        raise InputError(
            f"{vectors.dtype} vectors of shape {vectors.shape} for an index of "
            f"({spec.count}, {spec.dimension}).",
            "Open the index with the vectors it was built over.",
        )
    index = _parse(path, spec)
    found = _found(index, spec)
    wanted = _wanted(spec)
    wrong = [
        f"{key} {found[key]}, not {wanted[key]}" for key in wanted if found[key] != wanted[key]
    ]
    if wrong:
        raise DamagedDataError(f"The index file '{path}' has {'; '.join(wrong)}.", _REBUILD)
    if spec.kind != "hnsw":
        return ApproximateIndex(index, spec, vectors)
    storage = flat_view(vectors)
    index.own_fields = False
    index.storage = storage
    return ApproximateIndex(index, spec, vectors, storage)


def _parse(path: Path, spec: IndexSpec) -> FaissObject:
    # Inner products need no tables, and FAISS would count theirs against the byte limit.
    flags = faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE
    if spec.kind == "hnsw":
        flags |= faiss.IO_FLAG_SKIP_STORAGE
    # None of our kinds has a loop that runs longer than its lists.
    return read_index(path, flags, _REBUILD, max(spec.lists, LOOPS))


def _wanted(spec: IndexSpec) -> dict[str, object]:
    wanted: dict[str, object] = {
        "type": _TYPES.get(spec.kind, "none: exact has no file"),
        "count": spec.count,
        "dimension": spec.dimension,
        "metric": faiss.METRIC_INNER_PRODUCT,
        "trained": True,
    }
    if spec.kind == "hnsw":
        wanted |= {"links": spec.links, "graph rows": spec.count, "vectors of its own": False}
    else:
        wanted |= {"lists": spec.lists, "list rows": spec.count, "centroids": spec.lists}
    if spec.kind == "ivf-pq":
        wanted |= {"codes": spec.codes, "bits": CODE_BITS}
    return wanted


def _found(index: FaissObject, spec: IndexSpec) -> dict[str, object]:
    """What the file holds; of a wrong type only the type is told, as 'not known' for the rest."""
    found = dict.fromkeys(_wanted(spec), "not known") | {
        "type": type(index).__name__,
        "count": int(index.ntotal),
        "dimension": int(index.d),
        "metric": int(index.metric_type),
        "trained": bool(index.is_trained),
    }
    if found["type"] != _TYPES.get(spec.kind):
        return found
    if spec.kind == "hnsw":
        hnsw = index.hnsw
        rows = int(hnsw.levels.size())
        linked = int(hnsw.offsets.size()) == rows + 1 and 0 <= int(hnsw.entry_point) < rows
        found["links"] = int(hnsw.nb_neighbors(1))
        found["graph rows"] = rows if linked else "broken"
        found["vectors of its own"] = index.storage is not None
        return found
    quantizer = faiss.downcast_index(index.quantizer)
    found["lists"] = int(index.nlist)
    found["list rows"] = int(index.invlists.compute_ntotal())
    flat = type(quantizer).__name__ in ("IndexFlat", "IndexFlatIP")
    found["centroids"] = int(quantizer.ntotal) if flat else type(quantizer).__name__
    if spec.kind == "ivf-pq":
        found["codes"], found["bits"] = int(index.pq.M), int(index.pq.nbits)
    return found
