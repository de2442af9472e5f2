"""From query embeddings to a log-posterior over categories.

Evidence of three kinds is turned into logits: a linear classifier's own rows (`head`), texts,
and exemplars by the fitted classifier. Where only some categories have exemplars, text alone
decides how likely it is to be one of those, and exemplars decide which one among them, so that
no category wins or loses for lack of a photo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, logsumexp

from rar_agent.encoders import FloatArray
from rar_agent.memory.fit import Fit, map_features


@dataclass(frozen=True)
class Rows:
    """Entries of one modality, at most one for each category.

    Attributes:
        vectors: (c, d) unit rows; zeros where the category has none.
        lengths: (c,) of the rows before normalisation.
        biases: (c,) added to the logits.
    """

    vectors: FloatArray
    lengths: FloatArray
    biases: FloatArray


@dataclass(frozen=True)
class Scorer:
    """Scores all categories, or a shortlist of them.

    Attributes:
        count: Number of categories c; positions 0 to c-1 are columns of the posterior.
        text_scale: Factor from cosines to text logits.
        text: Text rows, or None.
        head: Rows of a linear classifier, or None.
        fit: How exemplars are scored, or None.
        fit_columns: (f,) category position of each of the fit's rows.
    """

    count: int
    text_scale: float
    text: Rows | None
    head: Rows | None
    fit: Fit | None
    fit_columns: np.ndarray

    def log_posterior(
        self, queries: FloatArray, norms: FloatArray, columns: np.ndarray | None = None
    ) -> np.ndarray:
        """Log-probability of each category.

        Args:
            queries: (q, d) unit rows.
            norms: (q,) lengths before normalisation; used for `head` only.
            columns: Positions of the categories to score; None: all.

        Returns:
            (q, c) or (q, len(columns)), float64; each row's probabilities sum to 1.
        """
        if columns is None:
            columns = np.arange(self.count)
        if self.head is not None:
            cosines = queries @ self.head.vectors[columns].T
            logits = norms[:, None] * self.head.lengths[columns] * cosines
            return _log_softmax(logits + self.head.biases[columns])
        if self.text is None:
            return self._fill(_log_softmax(self._image_logits(queries, columns)), columns)
        text = self.text_logits(queries, columns)
        inside = np.isin(columns, self.fit_columns)
        if self.fit is None or not inside.any():
            return _log_softmax(text)
        among = self._image_logits(queries, columns) + self.fit.text_weight * text[:, inside]
        if inside.all():
            return _log_softmax(among)
        by_text = _log_softmax(text)
        mass = logsumexp(by_text[:, inside], axis=1, keepdims=True)
        posterior = by_text.copy()
        posterior[:, inside] = mass + _log_softmax(among)
        return posterior

    def text_logits(self, queries: FloatArray, columns: np.ndarray) -> np.ndarray:
        """(q, len(columns)) scaled cosines with the texts."""
        assert self.text is not None  # noqa: S101 - callers checked
        scaled: np.ndarray = self.text_scale * (queries @ self.text.vectors[columns].T)
        return scaled

    def _image_logits(self, queries: FloatArray, columns: np.ndarray) -> np.ndarray:
        """Logits of those of the columns that have exemplars, in the columns' order."""
        assert self.fit is not None  # noqa: S101 - callers checked
        row_of = np.full(self.count, -1)
        row_of[self.fit_columns] = np.arange(len(self.fit_columns))
        rows = row_of[columns]
        rows = rows[rows >= 0]
        mapped = map_features(queries, self.fit.feature_map)
        scores = mapped @ self.fit.weights[rows].T + self.fit.biases[rows]
        logits: np.ndarray = self.fit.image_scale * scores.astype(np.float64)
        return logits

    def _fill(self, inside: np.ndarray, columns: np.ndarray) -> np.ndarray:
        has = np.isin(columns, self.fit_columns)
        filled = np.full((len(inside), len(columns)), -np.inf)
        filled[:, has] = inside
        return filled


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    normalised: np.ndarray = log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    return normalised
