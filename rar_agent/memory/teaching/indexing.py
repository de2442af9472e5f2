"""Indexes over large segments: planned, built, tuned on the memory's own vectors, recorded."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from rar_agent.encoders import FloatArray
from rar_agent.memory.format.files import DATA, adopt_file
from rar_agent.memory.format.manifest import IndexRef, SegmentRef
from rar_agent.memory.format.origin import origin_of
from rar_agent.memory.format.segment import OpenSegment, open_segment
from rar_agent.memory.index.approximate import ApproximateIndex
from rar_agent.memory.index.build import Progress, build_index
from rar_agent.memory.index.plan import plan_index
from rar_agent.memory.index.read import open_index
from rar_agent.memory.index.recall import measure_recall, tune
from rar_agent.memory.index.spec import IndexSpec
from rar_agent.memory.index.trust import Trust
from rar_agent.types import Modality

RECALL = 0.95
"""Share of the 10 nearest entries that an index has to find."""
RAM_SHARE = 0.5
"""Share of the machine's memory that indexes may use."""
_QUERIES = 400
_K = 10


def with_indexes(
    folder: Path,
    segments: Sequence[SegmentRef],
    dimension: int,
    recall: float = RECALL,
    ram_bytes: int | None = None,
    progress: Progress | None = None,
) -> list[SegmentRef]:
    """Give those segments an index for which `plan_index` wants one, and that have none.

    Queries are the memory's own vectors: of images and, where it has texts, of texts; the index is
    tuned until both find what was wanted, and both recalls are recorded. Where they cannot, there
    is no index, and search stays exact.

    Args:
        folder: The memory's folder.
        segments: Of its next generation.
        dimension: Length of a vector.
        recall: Wanted, over 0 to 1; at 1 nothing is built.
        ram_bytes: That indexes may use; default: half of the machine's.
        progress: Told of rows added and rows in all.
    """
    if origin_of(folder) is not None:  # which indexes what it keeps itself
        return list(segments)
    budget = ram_bytes if ram_bytes is not None else index_budget()
    opened = [open_segment(folder, ref, dimension) for ref in segments]
    has_texts = any(ref.modality == "text" for ref in segments)
    found = []
    for segment in opened:
        ref = segment.ref
        modality: Modality = "text" if has_texts else ref.modality  # the harder one to find
        plan = plan_index(ref.count, dimension, budget, recall, modality)
        index = ref.index
        if index is not None and not _still_good(folder, index, plan.spec, recall):
            index = None
        if index is None and plan.spec.kind != "exact":
            queries = _queries(opened, segment)
            index = _index(folder, segment, plan.spec, queries, recall, progress)
        found.append(ref.model_copy(update={"index": index}))
    return found


def _still_good(folder: Path, index: IndexRef, planned: IndexSpec, recall: float) -> bool:
    """Whether an index is of the planned kind, finds enough, and may be parsed here."""
    wanted = index.kind == planned.kind and min(index.recall.values()) >= recall
    return wanted and Trust().may_parse(folder / DATA / index.file.name, index.file.sha256)


def _index(
    folder: Path,
    segment: OpenSegment,
    spec: IndexSpec,
    queries: dict[Modality, tuple[FloatArray, bool]],
    recall: float,
    progress: Progress | None,
) -> IndexRef | None:
    draft = folder / DATA / f"{secrets.token_hex(8)}.tmp"
    try:
        build_index(_mapped(segment), spec, draft, progress)
        index = open_index(draft, spec, _mapped(segment))
        measured: dict[str, float] = {}
        for vectors, within in queries.values():
            k, wanted = (_K + 1, (_K * recall + 1) / (_K + 1)) if within else (_K, recall)
            index = tune(index, _mapped(segment), vectors, wanted, k).index
        for modality, (vectors, within) in queries.items():
            measured[modality] = _recall(index, segment, vectors, within)
        if min(measured.values()) < recall:
            return None
        file = adopt_file(folder, draft, "faiss")
        Trust().written(folder / DATA / file.name, file.sha256)
    finally:
        draft.unlink(missing_ok=True)
    kept = ("links", "construction", "lists", "codes", "effort", "rerank")
    parameters = {name: value for name, value in asdict(index.spec).items() if name in kept}
    kind = index.spec.kind
    assert kind != "exact"  # noqa: S101 - nothing is built then
    return IndexRef(file=file, kind=kind, parameters=parameters, recall=measured)


def _recall(
    index: ApproximateIndex, segment: OpenSegment, vectors: FloatArray, within: bool
) -> float:
    if not within:
        return measure_recall(index, _mapped(segment), vectors, _K)
    # Each query is a row itself and always finds itself, which does not count.
    found = measure_recall(index, _mapped(segment), vectors, _K + 1)
    return max(0.0, ((_K + 1) * found - 1) / _K)


def _queries(
    segments: Sequence[OpenSegment], asked: OpenSegment
) -> dict[Modality, tuple[FloatArray, bool]]:
    """A sample of vectors of each modality, and whether they are rows of what is asked."""
    random = np.random.default_rng(0)
    found: dict[Modality, tuple[FloatArray, bool]] = {}
    for segment in sorted(segments, key=lambda s: s.ref.count):  # the largest one counts
        modality = segment.ref.modality
        if modality == asked.ref.modality:
            segment = asked
        count = min(_QUERIES, segment.ref.count)
        rows = np.sort(random.choice(segment.ref.count, count, replace=False))
        found[modality] = np.asarray(segment.vectors[rows]), segment is asked
    return found


def _mapped(segment: OpenSegment) -> FloatArray:
    vectors = segment.mapped
    assert vectors is not None  # noqa: S101 - what is kept elsewhere is not indexed here
    return vectors


def index_budget() -> int:
    """Bytes of memory that indexes may use where nothing else is said."""
    try:
        ram = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        ram = 8 << 30
    return int(RAM_SHARE * ram)
