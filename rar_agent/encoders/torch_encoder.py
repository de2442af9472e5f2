"""What the encoders that run on torch share: device, precision, batches, norms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image

from rar_agent.encoders.base import Fingerprint, FloatArray, normalize

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TEXTS = 4_096
"""Texts whose tokens are in memory at once, and that can be sorted by length."""


class TorchEncoder(ABC):
    """Batches, autocast and normalisation around a forward pass of features.

    Args:
        name: What `load_encoder` takes to load it again.
        dimension: Length of an embedding.
        device: A torch device that exists.
        fingerprint: Identity and precision class.
        batch_size: Images in one forward pass.
    """

    text_scale: float
    names_help: bool

    def __init__(
        self, name: str, dimension: int, device: str, fingerprint: Fingerprint, batch_size: int
    ) -> None:
        self.name = name
        self.dimension = dimension
        self.device = device
        self.fingerprint = fingerprint
        self._batch_size = batch_size
        self._dtype = DTYPES[fingerprint.precision]

    @abstractmethod
    def _preprocess(self, image: Image.Image) -> torch.Tensor:
        """One RGB image → (3, h, w) float32."""

    @abstractmethod
    def _image_features(self, batch: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) → (n, d), not normalised."""

    @abstractmethod
    def _text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """At least one text, at most `TEXTS` → (n, d), not normalised, in batches of its own."""

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """See `Encoder.encode_images`."""
        return self.encode_images_with_norms(images)[0]

    def encode_images_with_norms(
        self, images: Sequence[Image.Image]
    ) -> tuple[FloatArray, FloatArray]:
        """See `Encoder.encode_images_with_norms`."""
        rows = np.empty((len(images), self.dimension), np.float32)
        with ThreadPoolExecutor(2) as pool:  # Pillow and torch release the GIL
            for start in range(0, len(images), self._batch_size):
                chunk = images[start : start + self._batch_size]
                tensors = list(pool.map(self._preprocess, chunk))
                rows[start : start + len(chunk)] = self._forward(torch.stack(tensors))
        return normalize(rows)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """See `Encoder.encode_texts`."""
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        distinct = list(places)
        rows = np.empty((len(distinct), self.dimension), np.float32)
        for start in range(0, len(distinct), TEXTS):
            chunk = distinct[start : start + TEXTS]
            with torch.inference_mode(), self._autocast():
                rows[start : start + len(chunk)] = self._text_features(chunk).float().cpu().numpy()
        return normalize(rows)[0][[places[text] for text in texts]]

    def _forward(self, batch: torch.Tensor) -> FloatArray:
        batch = batch.to(self.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), self._autocast():
            features: FloatArray = self._image_features(batch).float().cpu().numpy()
        return features

    def _autocast(self) -> torch.autocast:
        lowered = self._dtype is not torch.float32
        kind = torch.device(self.device).type
        return torch.autocast(kind, dtype=self._dtype if lowered else None, enabled=lowered)
