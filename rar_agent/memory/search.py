"""Searching a memory: the most probable categories, with the evidence for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from rar_agent.encoders import FloatArray
from rar_agent.errors import DamagedDataError, InputError
from rar_agent.memory.damage import OFF_LENGTH, wrong_numbers
from rar_agent.memory.format.files import DATA
from rar_agent.memory.format.generation import manifest_name
from rar_agent.memory.format.opened import damaged
from rar_agent.memory.taxonomy import Filter
from rar_agent.settings import MOST_CANDIDATES
from rar_agent.types import Branch, Candidate, Exemplar, Modality

if TYPE_CHECKING:
    from rar_agent.memory.memory import Memory

ALL_SCORED = 10_000
"""Up to this many categories all are scored; above, those of the shortlist."""
SHORTLIST = 1_000
"""Entries of each modality that FAISS shortlists then."""
_OFF_ONE = 1e-6  # how much probabilities may sum to more or less
_AT_ONCE = 256  # queries whose shortlists are held together

Method = Literal["fitted", "knn"]
"""`knn` is the paper's: the nearest exemplar (or text) of a category is its score."""


@dataclass(frozen=True)
class SearchResult:
    """What a memory says of one query.

    Attributes:
        candidates: Distinct categories, most probable first.
        branches: The branches above them, most probable first, each with the probability of all
            that is below it.
        familiarity: Share of known images that are no more similar to what the memory knows than
            this one, above 0 to 1; None where that was not calibrated.
        similar_enough: False where hardly any known image is as strange.
        coverage: Share of images whose category is in sets like this one; None where a number of
            candidates was asked for, or the set is larger than may be ranked and was cut.
    """

    candidates: tuple[Candidate, ...]
    branches: tuple[Branch, ...] = ()
    familiarity: float | None = None
    similar_enough: bool = True
    coverage: float | None = None


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


class Searcher:
    """Searches one opened memory; see `Memory.search`.

    Args:
        memory: To search.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def search(
        self,
        queries: FloatArray,
        norms: FloatArray,
        k: int,
        exemplars: int,
        method: Method,
        coverage: float | None,
        within: Filter | None,
    ) -> list[SearchResult]:
        """See `Memory.search`."""
        self._check(queries)
        include_from = None if coverage is None else self._include_from(coverage, method)
        allowed = np.arange(len(self._memory.categories))
        if within is not None:
            allowed = self._known(self._memory.taxonomy.allowed(within))
        results: list[SearchResult] = []
        for columns, posterior, familiarity in self._scored(queries, norms, k, method, allowed):
            if not abs(np.exp(posterior).sum() - 1) <= _OFF_ONE:  # also where one is no number
                raise self._wrong_numbers()
            wanted, cut = k, False
            if include_from is not None:
                inside = max(1, int((np.exp(posterior) >= include_from).sum()))
                wanted, cut = min(inside, MOST_CANDIDATES), inside > MOST_CANDIDATES
            best = np.argsort(-posterior, kind="stable")[:wanted]
            best = best[np.isfinite(posterior[best])]
            query = queries[len(results)]
            candidates = self.candidates(query, columns[best], posterior[best], exemplars)
            results.append(
                SearchResult(
                    candidates,
                    self._branches(columns[best], columns, posterior),
                    familiarity,
                    self._similar_enough(familiarity),
                    None if cut else coverage,
                )
            )
        return results

    def _known(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some categories that have an entry."""
        found = columns[self._memory.entries.known[columns]]
        if not len(found):
            raise InputError(
                f"Memory '{self._memory.name}' has no entries of the categories that pass the "
                "filter.",
                "Teach it some, or ask for others.",
            )
        return found

    def _check(self, queries: FloatArray) -> None:
        if not len(self._memory.entries):
            raise InputError(
                f"Memory '{self._memory.name}' is empty.",
                f"Teach it: rar-agent memory add {self._memory.name} --images FOLDER",
            )
        if queries.ndim != 2 or queries.shape[1] != self._memory.manifest.dimension:
            raise InputError(
                f"Queries of shape {queries.shape} do not fit memory '{self._memory.name}', which "
                f"has dimension {self._memory.manifest.dimension}.",
                f"Encode them with {self._memory.manifest.encoder.name}.",
            )

    def _include_from(self, coverage: float, method: Method) -> float:
        if not 0 < coverage < 1:
            raise InputError(f"Coverage {coverage} is not valid.", "Give a share, such as 0.95.")
        if self._memory.calibration is None or not self._memory.calibrated or method != "fitted":
            prior = method == "fitted" and self._memory.manifest.prior is not None
            raise InputError(
                f"Memory '{self._memory.name}' is not calibrated "
                f"({self._memory.probability_means(method)}), so no candidate set can be promised "
                f"to cover {coverage}.",
                f"Ask for a number of candidates, or take its prior away: rar-agent memory fit "
                f"{self._memory.name} --no-prior"
                if prior
                else "Ask for a number of candidates, or teach it more exemplars of each category.",
            )
        least = self._memory.calibration.include_from(coverage)
        if not least:
            raise InputError(
                f"Coverage {coverage} cannot be promised by {len(self._memory.calibration)} "
                "left-out exemplars.",
                "Ask for less, or teach the memory more exemplars.",
            )
        return least

    def _scored(
        self,
        queries: FloatArray,
        norms: FloatArray,
        k: int,
        method: Method,
        allowed: NDArray[np.int64],
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float64], float | None]]:
        """Columns, log-posterior and familiarity of each query."""
        if method == "knn":
            return [(*self._by_nearest(query[None], k, allowed), None) for query in queries]
        if len(allowed) <= ALL_SCORED:
            return self._all_scored(queries, norms, allowed)
        return [
            self._all_scored(queries[i : i + 1], norms[i : i + 1], columns)[0]
            for i, columns in enumerate(self._shortlists(queries, allowed))
        ]

    def _all_scored(
        self, queries: FloatArray, norms: FloatArray, columns: NDArray[np.int64]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float64], float | None]]:
        if self._memory.fit is None and self._memory.image_count:
            name = manifest_name(self._memory.manifest.generation)
            raise damaged(self._memory.folder, name, "fit: there is none, but exemplars are")
        posterior = self._memory.scorer.log_posterior(queries, norms, columns)
        if (prior := self._memory.log_prior) is not None:
            posterior = log_softmax(posterior + prior[columns], axis=1)
        shares: list[float | None] = [None] * len(queries)
        if self._memory.calibration is not None and not self._memory.stale:
            scores = self._memory.scorer.familiarity(queries, columns)
            if scores is not None:
                shares = [float(share) for share in self._memory.calibration.familiar(scores)]
        return [(columns, row, share) for row, share in zip(posterior, shares, strict=True)]

    def _shortlists(
        self, queries: FloatArray, allowed: NDArray[np.int64]
    ) -> Iterator[NDArray[np.int64]]:
        """For each query, positions of the categories of its nearest entries.

        `SHORTLIST` of each modality: an image is always nearer to photos than to texts, whatever
        they say. Of entries that are equally near at the cut, a batch may take others than a
        single query does.
        """
        mask = self._mask(allowed)
        for start in range(0, len(queries), _AT_ONCE):
            part = queries[start : start + _AT_ONCE]
            found = [
                self._memory.nearest.rows(modality, part, SHORTLIST, mask, in_order=False)[1]
                for modality in self._memory.entries.modalities
            ]
            for rows in np.concatenate(found, axis=1):
                yield np.unique(self._memory.entries.columns[rows[rows >= 0]]).astype(np.int64)

    def _by_nearest(
        self, query: FloatArray, k: int, allowed: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Best entry of each category; the probability is a softmax over those retrieved.

        By exemplars where any of the allowed categories has one, else by what they have.
        """
        entries = self._memory.entries
        modality = next(m for m in entries.modalities if entries.counts(m)[allowed].any())
        mask = self._mask(allowed)
        wanted = min(k, int((self._memory.entries.counts(modality)[allowed] > 0).sum()))
        count = 10 * k
        while True:
            cosines, rows = self._memory.nearest.rows(modality, query, count, mask)
            known = rows[0] >= 0
            columns = self._memory.entries.columns[rows[0][known]]
            distinct, first = np.unique(columns, return_index=True)
            if len(distinct) >= wanted or count >= len(self._memory.entries):
                break
            count *= 4
        best = cosines[0][known][first].astype(np.float64)
        logits = self._memory.manifest.encoder.text_scale * best
        logits -= np.log(np.exp(logits - logits.max()).sum()) + logits.max()
        return distinct.astype(np.int64), logits

    def _wrong_numbers(self) -> DamagedDataError:
        manifest = self._memory.manifest
        where = f"what {self._memory.folder / manifest_name(manifest.generation)} says"
        if manifest.fit:
            where += f", or {DATA}/{manifest.fit.arrays.name}"
        return wrong_numbers(self._memory.entries, where)

    def _mask(self, allowed: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        if len(allowed) == len(self._memory.categories):
            return None
        mask = np.zeros(len(self._memory.categories), bool)
        mask[allowed] = True
        return mask

    def _similar_enough(self, familiarity: float | None) -> bool:
        if familiarity is None or self._memory.calibration is None:
            return True
        return familiarity > self._memory.calibration.unfamiliar_under

    def _branches(
        self,
        best: NDArray[np.int64],
        columns: NDArray[np.int64],
        posterior: NDArray[np.float64],
    ) -> tuple[Branch, ...]:
        taxonomy = self._memory.taxonomy
        names = {name for column in best for name in taxonomy.above(int(column))}
        shares, known = np.exp(posterior), np.isfinite(posterior)
        found = []
        for name in sorted(names):
            inside = taxonomy.is_below(columns, name)
            share = min(1.0, float(shares[inside].sum()))
            found.append(Branch(name=name, probability=share, categories=int(known[inside].sum())))
        return tuple(sorted(found, key=lambda branch: (-branch.probability, branch.categories)))

    def candidates(
        self,
        query: FloatArray,
        columns: NDArray[np.int64],
        scores: NDArray[np.float64],
        count: int,
    ) -> tuple[Candidate, ...]:
        """Categories with their evidence.

        Args:
            query: (d,) unit row.
            columns: (k,) positions of the categories.
            scores: (k,) logarithms of their probabilities.
            count: Of nearest exemplars to show of each.
        """
        if not len(columns):
            return ()
        entries = self._memory.entries
        rows = np.empty(0, np.int64)
        if count and "image" in entries.modalities:
            rows = entries.rows_of("image", columns)
        ends = np.cumsum(entries.counts("image")[columns]) if len(rows) else [0] * len(columns)
        parts = np.split(rows, ends[:-1])
        if entries.are_here:  # one category at a time: all of them could be large
            cosines = [entries.vectors(part) @ query for part in parts]
        else:  # all in one request
            cosines = np.split(entries.vectors(rows) @ query, ends[:-1])
        if not all((np.abs(some) <= 1 + OFF_LENGTH).all() for some in cosines):
            raise self._wrong_numbers()
        found = zip(columns.tolist(), scores.tolist(), parts, cosines, strict=True)
        return tuple(self._candidate(*one, count) for one in found)

    def _candidate(
        self,
        column: int,
        score: float,
        rows: NDArray[np.int64],
        cosines: FloatArray,
        count: int,
    ) -> Candidate:
        """A category with the nearest of its exemplars."""
        shown: list[Exemplar] = []
        if len(rows):
            shown = [
                Exemplar(
                    entry=self._memory.entries.id_of(int(rows[i])),
                    source=self._memory.entries.source(int(rows[i])),
                    similarity=float(np.clip(cosines[i], -1, 1)),
                )
                for i in np.argsort(-cosines, kind="stable")[:count]
            ]
        return Candidate(
            category=self._memory.categories[column],
            score=score,
            probability=float(min(1.0, np.exp(score))),
            evidence=self._memory.evidence(column),
            exemplars=tuple(shown),
        )
