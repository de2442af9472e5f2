"""A memory opened for reading: what it knows, and search."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import Fingerprint, FloatArray
from rar_agent.errors import InputError
from rar_agent.memory.exact import ExactIndex
from rar_agent.memory.manifest import MODALITIES, Manifest
from rar_agent.memory.score import Scorer
from rar_agent.memory.segment import Segment
from rar_agent.types import Candidate, Category, Exemplar, Modality

ALL_SCORED = 10_000
"""Up to this many categories all are scored; above, those of the shortlist."""
SHORTLIST = 1_000
"""Entries of each modality that FAISS shortlists then."""

_IMAGE = MODALITIES.index("image")

Method = Literal["fitted", "knn"]
"""`knn` is the paper's: the nearest exemplar (or text) of a category is its score."""


@dataclass(frozen=True)
class SearchResult:
    """What a memory says of one query.

    Attributes:
        candidates: Distinct categories, most probable first.
        nearest: Cosine with the nearest exemplar; None where there are none.
        similar_enough: False where no exemplar is as far from its neighbours as the query is.
    """

    candidates: tuple[Candidate, ...]
    nearest: float | None
    similar_enough: bool


@dataclass(frozen=True)
class EntryInfo:
    """One entry, for people.

    Attributes:
        id: Stable id, as `remove_from_memory` takes it.
        modality: What its vector was made from.
        source: Path, text or row name.
    """

    id: int
    modality: Modality
    source: str


@dataclass(frozen=True)
class Entries:
    """The live entries of a memory, row by row.

    Attributes:
        vectors: (n, d) float32 unit rows.
        ids: (n,) stable ids.
        columns: (n,) positions of their categories.
        modalities: (n,) positions in `MODALITIES`.
        places: (n, 2) segment and row within it, for the source.
        segments: The segments.
    """

    vectors: FloatArray
    ids: NDArray[np.int64]
    columns: NDArray[np.int64]
    modalities: NDArray[np.uint8]
    places: NDArray[np.int64]
    segments: tuple[Segment, ...]

    def source(self, row: int) -> str:
        """Where an entry came from."""
        segment, within = self.places[row]
        return self.segments[int(segment)].source(int(within))


class Memory:
    """An opened memory; immutable, thread-safe. Open one with `open_memory`.

    Args:
        folder: Where it is stored.
        manifest: The generation that was opened.
        categories: In the order of their positions.
        entries: The live entries.
        scorer: What turns queries into a posterior.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        categories: Sequence[Category],
        entries: Entries,
        scorer: Scorer,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.categories = tuple(categories)
        self.entries = entries
        self.scorer = scorer
        self._lock = threading.Lock()
        self._indexes: dict[int, tuple[NDArray[np.int64], ExactIndex]] = {}

    @property
    def name(self) -> str:
        """The memory's name."""
        return self.manifest.name

    @property
    def calibrated(self) -> bool:
        """Whether probabilities were calibrated by leave-one-out."""
        return bool(self.manifest.fit and self.manifest.fit.calibrated)

    @property
    def has_texts(self) -> bool:
        """Whether its categories are known by their names too."""
        return self.scorer.text is not None

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the encoder that made the vectors."""
        return Fingerprint(self.manifest.encoder.details, self.manifest.encoder.precision)

    @cached_property
    def _rows_of(self) -> dict[int, NDArray[np.int64]]:
        rows = self._image_rows
        columns = self.entries.columns[rows]
        order = np.argsort(columns, kind="stable")
        rows, columns = rows[order], columns[order]
        starts = np.flatnonzero(np.diff(columns, prepend=-1))
        parts = np.split(rows, starts[1:])  # one part, empty, where there are no rows
        return {int(columns[s]): part for s, part in zip(starts, parts, strict=False)}

    @cached_property
    def _evidence(self) -> tuple[tuple[Modality, ...], ...]:
        seen = np.zeros((len(self.categories), len(MODALITIES)), bool)
        seen[self.entries.columns, self.entries.modalities] = True
        return tuple(tuple(MODALITIES[m] for m in np.flatnonzero(row)) for row in seen)

    def exemplar_count(self, column: int) -> int:
        """Number of exemplars of the category at a position."""
        return len(self._rows_of.get(column, ()))

    def evidence(self, column: int) -> tuple[Modality, ...]:
        """Modalities of the entries of the category at a position."""
        return self._evidence[column]

    def entries_of(self, column: int) -> list[EntryInfo]:
        """The live entries of the category at a position."""
        return [
            EntryInfo(
                int(self.entries.ids[row]),
                MODALITIES[self.entries.modalities[row]],
                self.entries.source(int(row)),
            )
            for row in np.flatnonzero(self.entries.columns == column)
        ]

    def describe_method(self, method: Method = "fitted") -> str:
        """How categories are scored, in a few words."""
        if method == "knn":
            return "knn: cosine with the nearest entry"
        if self.scorer.head is not None:
            return "head: the encoder's own linear classifier"
        fit = self.manifest.fit
        if fit is None:
            return "text: cosine with the name"
        kind = "gda" if fit.shrinkage < 1 else "prototype"
        words = f"{kind}: shrinkage {fit.shrinkage:g}, {fit.feature_map} features, {fit.rule}"
        if self.scorer.text is not None:
            words += f", text weight {fit.text_weight:.2f}"
        return words

    def probability_means(self, method: Method = "fitted") -> str:
        """One sentence that says what the probabilities are."""
        if method == "knn":
            return "softmax of cosines with the nearest entry of each category, not calibrated"
        if self.scorer.head is not None:
            return "the classifier's own probability, not calibrated"
        fit = self.manifest.fit
        if fit is None:
            return "softmax of image-text cosines, not calibrated"
        if fit.calibrated and fit.loo_ece is not None:
            return (
                f"calibrated by leaving out {fit.loo_images} exemplars one by one "
                f"(ECE {100 * fit.loo_ece:.1f} points there)"
            )
        return "from too few exemplars to calibrate"

    def search(
        self,
        queries: FloatArray,
        norms: FloatArray,
        k: int = 5,
        exemplars: int = 3,
        method: Method = "fitted",
    ) -> list[SearchResult]:
        """Retrieve candidates: the k most probable distinct categories of each query.

        Args:
            queries: (q, d) unit rows of the memory's encoder.
            norms: (q,) lengths before normalisation.
            k: Categories wanted; fewer come back only where the memory has fewer.
            exemplars: Nearest exemplars shown for each.
            method: The fitted scoring, or the paper's nearest neighbour.

        Raises:
            InputError: The memory is empty, or the queries have another dimension.
        """
        if not len(self.entries.ids):
            raise InputError(
                f"Memory '{self.name}' is empty.",
                f"Teach it: rar-agent memory add {self.name} --images FOLDER",
            )
        if queries.ndim != 2 or queries.shape[1] != self.manifest.dimension:
            raise InputError(
                f"Queries of shape {queries.shape} do not fit memory '{self.name}', which has "
                f"dimension {self.manifest.dimension}.",
                f"Encode them with {self.manifest.encoder.name}.",
            )
        if method == "knn":
            ranked = [self._nearest_categories(query[None], k) for query in queries]
        elif len(self.categories) <= ALL_SCORED:
            posterior = self.scorer.log_posterior(queries, norms)
            ranked = [_best(row, np.arange(len(row)), k) for row in posterior]
        else:
            ranked = [
                self._from_shortlist(query[None], norm[None], k)
                for query, norm in zip(queries, norms, strict=True)
            ]
        nearest = self._nearest_similarity(queries)
        floor = self.manifest.fit.similarity_floor if self.manifest.fit else None
        return [
            SearchResult(
                tuple(
                    self._candidate(q, int(c), float(s), exemplars)
                    for c, s in zip(*best, strict=True)
                ),
                None if nearest is None else float(nearest[i]),
                nearest is None or floor is None or float(nearest[i]) >= floor,
            )
            for i, (q, best) in enumerate(zip(queries, ranked, strict=True))
        ]

    def shortlist(self, query: FloatArray) -> NDArray[np.int64]:
        """Positions of the categories of the `SHORTLIST` nearest entries of each modality.

        Of each: an image is always nearer to photos than to texts, whatever they say.

        Args:
            query: (1, d) unit row.
        """
        columns = [
            self.entries.columns[rows[index.nearest(query, SHORTLIST)[1][0]]]
            for rows, index in (self._index(m) for m in np.unique(self.entries.modalities))
        ]
        found: NDArray[np.int64] = np.unique(np.concatenate(columns))
        return found

    def _from_shortlist(
        self, query: FloatArray, norm: FloatArray, k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        columns = self.shortlist(query)
        return _best(self.scorer.log_posterior(query, norm, columns)[0], columns, k)

    def _nearest_categories(
        self, query: FloatArray, k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Best entry of each category; the probability is a softmax over those retrieved."""
        by_image = len(self._image_rows) > 0
        rows_of_index, index = self._index(_IMAGE if by_image else self.entries.modalities[0])
        wanted = min(k, len(np.unique(self.entries.columns[rows_of_index])))
        count = 10 * k
        while True:
            cosines, found = index.nearest(query, count)
            columns = self.entries.columns[rows_of_index[found[0]]]
            distinct, first = np.unique(columns, return_index=True)
            if len(distinct) >= wanted:
                break
            count *= 4
        logits = self.manifest.encoder.text_scale * cosines[0][first].astype(np.float64)
        logits -= np.log(np.exp(logits - logits.max()).sum()) + logits.max()
        return _best(logits, distinct, k)

    @cached_property
    def _image_rows(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.entries.modalities == _IMAGE)

    def _index(self, modality: int) -> tuple[NDArray[np.int64], ExactIndex]:
        """Rows of a modality, and an index over them."""
        with self._lock:
            if modality not in self._indexes:
                rows = np.flatnonzero(self.entries.modalities == modality)
                self._indexes[modality] = rows, ExactIndex(self.entries.vectors[rows])
            return self._indexes[modality]

    def _nearest_similarity(self, queries: FloatArray) -> FloatArray | None:
        if not len(self._image_rows):
            return None
        return self._index(_IMAGE)[1].nearest(queries, 1)[0][:, 0]

    def _candidate(self, query: FloatArray, column: int, score: float, count: int) -> Candidate:
        rows = self._rows_of.get(column, np.empty(0, np.int64))
        cosines = self.entries.vectors[rows] @ query
        order = np.argsort(-cosines, kind="stable")[:count]
        return Candidate(
            category=self.categories[column],
            score=score,
            probability=float(min(1.0, np.exp(score))),
            evidence=self._evidence[column],
            exemplars=tuple(
                Exemplar(
                    entry=int(self.entries.ids[rows[i]]),
                    source=self.entries.source(int(rows[i])),
                    similarity=float(cosines[i]),
                )
                for i in order
            ),
        )


def _best(
    scores: NDArray[np.float64], columns: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k best columns and their scores; ties by position; impossible ones left out."""
    order = np.argsort(-scores, kind="stable")[:k]
    order = order[np.isfinite(scores[order])]
    return columns[order], scores[order]
