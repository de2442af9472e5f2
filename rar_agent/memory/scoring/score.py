"""From query embeddings to a log-posterior over categories.

Evidence of three kinds is turned into logits: a linear classifier's own rows (`head`), texts, and
exemplars by the fitted method. A category may have any of them. Where some have exemplars and
others only a text, texts decide how likely it is to be one of the former, and exemplars which one
among them, so that no category wins or loses for lack of a photo; see `log_posterior`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from rar_agent.encoders import FloatArray
from rar_agent.memory.entries import Entries
from rar_agent.memory.scoring.gaussian import Array
from rar_agent.memory.scoring.images import ImageScorer
from rar_agent.memory.scoring.products import products
from rar_agent.types import Modality


class Scorer:
    """Scores all categories of a memory, or a shortlist of them.

    Args:
        entries: The memory's.
        count: Number of categories c; positions 0 to c-1 are columns of the posterior.
        text_scale: Factor from image-text cosines to logits.
        images: How exemplars are scored; None where none were fitted.
        keep_all: Whether texts and classifier rows of all categories are kept at hand.
    """

    def __init__(
        self,
        entries: Entries,
        count: int,
        text_scale: float,
        images: ImageScorer | None,
        keep_all: bool,
    ) -> None:
        self._keep_all = keep_all
        self._entries = entries
        self.count = count
        self._text_scale = text_scale
        self.images = images
        self._kept: dict[Modality, tuple[NDArray[np.int64], FloatArray, NDArray[np.void]]] = {}

    @cached_property
    def has_text(self) -> NDArray[np.bool_]:
        """(c,) whether each category has a text."""
        return self._has("text")

    @cached_property
    def has_image(self) -> NDArray[np.bool_]:
        """(c,) whether each category has an exemplar."""
        return self._has("image")

    @cached_property
    def has_head(self) -> NDArray[np.bool_]:
        """(c,) whether each category has a row of a linear classifier."""
        return self._has("head")

    def _has(self, modality: Modality) -> NDArray[np.bool_]:
        if modality not in self._entries.modalities:
            return np.zeros(self.count, bool)
        return self._entries.counts(modality) > 0

    def log_posterior(
        self, queries: FloatArray, norms: FloatArray, columns: NDArray[np.integer]
    ) -> Array:
        """Log-probability of each category.

        With T the categories that have a text and I those with exemplars: p(c) for c in T without
        exemplars is the texts' own; for c in I it is the exemplars' posterior within I (texts
        beside it where there are), times what makes both agree on how likely T and I together are.

        Args:
            queries: (q, d) unit rows.
            norms: (q,) lengths before normalisation; used for `head` only.
            columns: (k,) positions of the categories to score.

        Returns:
            (q, k) float64; each row's probabilities sum to 1. Minus infinity where nothing is known
            of a category.
        """
        if self.has_head.any():
            return self._by_head(queries, norms, columns)
        inside, named = self.has_image[columns], self.has_text[columns]
        posterior = np.full((len(queries), len(columns)), -np.inf)
        if not named.any():
            if inside.any():
                logits = self._image_logits(queries, columns[inside])
                posterior[:, inside] = self._tempered(logits)
            return posterior
        text = self.text_logits(queries, columns[named])
        posterior[:, named] = _normal(self._text_alone * text)
        if not inside.any() or self.images is None:
            return posterior
        both = named[inside]
        beside = text[:, inside[named]]
        within = self._within_exemplars(queries, columns[inside], both, beside)
        if not both.any():  # nothing says how the two compare: by their numbers
            share = inside.sum() / (inside.sum() + named.sum())
            posterior[:, named] += np.log1p(-share)
            posterior[:, inside] = np.log(share) + within
            return posterior
        by_text = logsumexp(posterior[:, inside & named], axis=1, keepdims=True)
        by_image = logsumexp(within[:, both], axis=1, keepdims=True)
        posterior[:, inside] = within + by_text - by_image
        return _normal(posterior)

    def familiarity(self, queries: FloatArray, columns: NDArray[np.integer]) -> Array | None:
        """How similar queries are to the most similar of some categories' exemplars.

        Returns:
            (q,) scores that `Calibration.familiar` takes; None without exemplars.
        """
        inside = columns[self.has_image[columns]]
        if self.images is None or not len(inside):
            return None
        return self.images.familiarity(queries, inside)

    def text_logits(self, queries: FloatArray, columns: NDArray[np.integer]) -> Array:
        """(q, k) scaled cosines with the texts of categories that have one."""
        cosines = products(queries, self._of("text", columns)[0])
        return self._text_scale * cosines.astype(np.float64)

    @property
    def _text_alone(self) -> float:
        return self.images.fit.text_alone if self.images else 1.0

    def _within_exemplars(
        self,
        queries: FloatArray,
        columns: NDArray[np.integer],
        named: NDArray[np.bool_],
        texts: Array,
    ) -> Array:
        """Log-posterior among categories with exemplars, their texts beside them."""
        logits = self._image_logits(queries, columns)
        assert self.images is not None  # noqa: S101 - the caller checked
        weight = self.images.fit.text_weight
        if weight and named.any():
            beside = weight * texts
            # One without a text is given what is expected of one: neither help nor harm.
            shares = np.exp(_normal(logits[:, named]))
            expected = (shares * beside).sum(axis=1, keepdims=True)
            logits = logits + expected
            logits[:, named] += beside - expected
        return self._tempered(logits)

    def _tempered(self, logits: Array) -> Array:
        assert self.images is not None  # noqa: S101 - exemplars are always fitted
        return self.images.fit.temper.log_posterior(logits)

    def _image_logits(self, queries: FloatArray, columns: NDArray[np.integer]) -> Array:
        assert self.images is not None  # noqa: S101 - exemplars are always fitted
        return self.images.logits(queries, columns)

    def _by_head(
        self, queries: FloatArray, norms: FloatArray, columns: NDArray[np.integer]
    ) -> Array:
        known = self.has_head[columns]
        vectors, fields = self._of("head", columns[known])
        logits = norms[:, None] * fields["length"] * products(queries, vectors) + fields["bias"]
        posterior = np.full((len(queries), len(columns)), -np.inf)
        posterior[:, known] = _normal(logits.astype(np.float64))
        return posterior

    def _of(
        self, modality: Modality, columns: NDArray[np.integer]
    ) -> tuple[FloatArray, NDArray[np.void]]:
        """(k, d) and (k,) of `ENTRY`: the entry of each of some categories that have one."""
        if not self._keep_all:
            return self._read(modality, columns)
        if modality not in self._kept:
            every = np.flatnonzero(self._has(modality))
            places = np.full(self.count, -1)
            places[every] = np.arange(len(every))
            self._kept[modality] = places, *self._read(modality, every)
        places, vectors, fields = self._kept[modality]
        if len(columns) == len(vectors):
            return vectors, fields
        return vectors[places[columns]], fields[places[columns]]

    def _read(
        self, modality: Modality, columns: NDArray[np.integer]
    ) -> tuple[FloatArray, NDArray[np.void]]:
        """The newest entry where a category has several."""
        rows = self._entries.rows_of(modality, columns)
        rows = rows[np.cumsum(self._entries.counts(modality)[columns]) - 1]
        return self._entries.vectors(rows), self._entries.fields(rows)


def _normal(logits: Array) -> Array:
    found: Array = log_softmax(logits, axis=1)
    return found
