"""A memory opened for reading: what it knows, and search."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rar_agent.encoders import Fingerprint, FloatArray
from rar_agent.errors import InputError
from rar_agent.memory.describe import describe_method, probability_means
from rar_agent.memory.entries import Entries
from rar_agent.memory.format.categories import Categories
from rar_agent.memory.format.files import read_ids
from rar_agent.memory.format.manifest import Manifest
from rar_agent.memory.format.origin import origin_of
from rar_agent.memory.nearest import Nearest
from rar_agent.memory.scoring.calibration import Calibration
from rar_agent.memory.scoring.fit import Fit
from rar_agent.memory.scoring.gaussian import Array
from rar_agent.memory.scoring.images import ImageScorer
from rar_agent.memory.scoring.prior import log_prior
from rar_agent.memory.scoring.prototypes import Sums, current_sums
from rar_agent.memory.scoring.score import Scorer
from rar_agent.memory.scoring.stored import read_fit
from rar_agent.memory.search import ALL_SCORED, EntryInfo, Method, Searcher, SearchResult
from rar_agent.memory.taxonomy import Filter, Taxonomy
from rar_agent.types import Modality

STALE = 0.1
"""Share of exemplars learnt or removed since the scoring was chosen, past which it is stale."""


class Memory:
    """An opened memory; immutable, thread-safe. Open one with `open_memory`.

    Args:
        folder: Where it is stored.
        manifest: The generation that was opened.
        categories: In the order of their positions.
        entries: The live entries.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, categories: Categories, entries: Entries
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.categories = categories
        self.entries = entries
        self.taxonomy = Taxonomy(categories)
        self.nearest = Nearest(folder, entries)

    @property
    def name(self) -> str:
        """The memory's name; its address, without secrets, where it is kept elsewhere."""
        origin = origin_of(self.folder)
        return origin.address if origin else self.manifest.name

    @property
    def calibrated(self) -> bool:
        """Whether probabilities were calibrated, and not too much changed since.

        Not where some categories are known by texts alone: how likely those are beside the others
        cannot be learnt from exemplars. Not with a prior, which nothing was measured with.
        """
        fit = self.manifest.fit
        if self.manifest.prior is not None or not (fit and fit.calibrated):
            return False
        return not self.stale and self.all_have_exemplars

    @cached_property
    def all_have_exemplars(self) -> bool:
        """Whether every category has one, so that nothing else decides among them."""
        if self.entries.modalities == ("image",):
            return True
        return bool(self.scorer.has_image[self.entries.known].all())

    @property
    def stale(self) -> bool:
        """Whether more than a tenth of its exemplars were learnt or removed since the fit."""
        return self.manifest.fit is not None and self.changed_share > STALE

    @property
    def has_texts(self) -> bool:
        """Whether its categories are known by their names too."""
        return "text" in self.entries.modalities

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the encoder that made the vectors."""
        return Fingerprint(self.manifest.encoder.details, self.manifest.encoder.precision)

    @property
    def category_count(self) -> int:
        """Number of categories with an entry; others that are on record are branches."""
        return self.manifest.category_count

    @cached_property
    def image_count(self) -> int:
        """Number of exemplars."""
        images = [s for s in self.entries.segments if s.ref.modality == "image"]
        if not len(self.entries.removed):
            return sum(segment.ref.count for segment in images)
        return len(self.entries.rows("image"))

    @cached_property
    def changed(self) -> int:
        """Exemplars learnt or removed since the scoring was chosen."""
        record = self.manifest.fit
        if record is None:
            return self.image_count
        since, now = record.next_entry, self.entries.removed
        images = [s for s in self.entries.segments if s.ref.modality == "image"]
        new = sum(
            int((segment.entries["id"] >= since).sum())
            for segment in images
            if segment.ref.last_id >= since
        )
        gone = np.setdiff1d(now[now < since], self._removed_before)
        if len(gone):  # texts are no exemplars
            gone = gone[np.isin(gone, np.concatenate([s.entries["id"] for s in images]))]
        return record.changed_before + new + len(gone)

    @cached_property
    def _removed_before(self) -> NDArray[np.int64]:
        """Ids of entries that were removed before the fit; in memory, as the file may go."""
        record = self.manifest.fit
        return np.array(read_ids(self.folder, record.removed if record else None))

    @property
    def changed_share(self) -> float:
        """`changed`, as a share of the exemplars that were fitted on."""
        record = self.manifest.fit
        return self.changed / max(1, record.entries) if record else float(self.changed > 0)

    @cached_property
    def fit(self) -> Fit | None:
        """How categories are scored from exemplars.

        Raises:
            DamagedDataError: Its file is missing or does not parse.
        """
        return self._stored[0] if self._stored else None

    @property
    def calibration(self) -> Calibration | None:
        """Answers to the exemplars that were left out; None where nothing was."""
        return self.fit.calibration if self.fit else None

    @property
    def keeps_sums(self) -> bool:
        """Whether the sums of all categories are stored with the fit."""
        return self._stored is not None and "sums" in self._stored[1]

    @cached_property
    def _stored(self) -> tuple[Fit, dict[str, Any]] | None:
        record = self.manifest.fit
        return read_fit(self.folder, record, self.manifest.dimension) if record else None

    @cached_property
    def scorer(self) -> Scorer:
        """What turns queries into a posterior over categories."""
        images = None
        count = len(self.categories)
        if self.fit is not None:
            keep_all = count <= ALL_SCORED
            images = ImageScorer(self.fit, self.entries, self._summing, keep_all)
        return Scorer(
            self.entries,
            count,
            self.manifest.encoder.text_scale,
            images,
            keep_all=count <= ALL_SCORED,
        )

    @cached_property
    def log_prior(self) -> Array | None:
        """(c,) logarithm of how often categories are met, but for a constant; None: equally."""
        prior = self.manifest.prior
        return log_prior(self.categories, prior) if prior else None

    def sums(self) -> Sums:
        """Counts and sums of the mapped exemplars of every category."""
        return self._summing()

    @property
    def _summing(self) -> Callable[[], Sums]:
        """Does that without this memory, which a cycle would keep until it is garbage collected.

        Its files and descriptors with it: a server that is taught often would run out of these.
        """
        record = self.manifest.fit
        if record is None or self._stored is None:
            raise InputError(f"Memory '{self.name}' has no exemplars.", "Teach it some.")
        arrays = self._stored[1]
        stored = (arrays["ids"], arrays["counts"], arrays["sums"]) if self.keeps_sums else None
        return partial(
            current_sums,
            self.entries,
            self.categories,
            self._stored[0].feature_map,
            stored,
            record.next_entry,
            self._removed_before,
        )

    def exemplar_count(self, column: int) -> int:
        """Number of exemplars of the category at a position."""
        return int(self.entries.counts("image")[column])

    def evidence(self, column: int) -> tuple[Modality, ...]:
        """Modalities of the entries of the category at a position."""
        return tuple(m for m in self.entries.modalities if self.entries.counts(m)[column])

    def entries_of(self, column: int) -> list[EntryInfo]:
        """The live entries of the category at a position."""
        return [
            EntryInfo(self.entries.id_of(int(row)), modality, self.entries.source(int(row)))
            for modality in self.entries.modalities
            for row in self.entries.rows_of(modality, np.array([column]))
        ]

    def thumbnail(self, entry: int) -> bytes:
        """A small JPEG of an exemplar's image by its id; empty where none is kept."""
        row = self.entries.row_of(entry)
        return self.entries.thumbnail(row) if row is not None else b""

    def describe_method(self, method: Method = "fitted") -> str:
        """How categories are scored, in a few words."""
        return describe_method(self.manifest, method, self.entries.modalities)

    def probability_means(self, method: Method = "fitted") -> str:
        """One sentence that says what the probabilities are."""
        mixed = not self.all_have_exemplars
        return probability_means(self.manifest, method, self.entries.modalities, self.stale, mixed)

    def search(
        self,
        queries: FloatArray,
        norms: FloatArray,
        k: int = 5,
        exemplars: int = 3,
        method: Method = "fitted",
        *,
        coverage: float | None = None,
        within: Filter | None = None,
    ) -> list[SearchResult]:
        """Retrieve candidates: the most probable distinct categories of each query.

        Args:
            queries: (q, d) unit rows of the memory's encoder.
            norms: (q,) lengths before normalisation.
            k: Categories wanted; fewer come back only where the memory has fewer.
            exemplars: Nearest exemplars shown for each.
            method: The fitted scoring, or the paper's nearest neighbour.
            coverage: In place of k: as many categories as hold the right one so often, 0 to 1.
            within: Which categories may be answered; None for all.

        Raises:
            InputError: The memory is empty, the queries have another dimension, a coverage was
                asked of a memory that is not calibrated, or nothing passes the filter.
            NotFoundError: A filter names an unknown branch.
        """
        searcher = Searcher(self)
        return searcher.search(queries, norms, k, exemplars, method, coverage, within)
