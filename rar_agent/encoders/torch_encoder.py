"""What the encoders that run on torch share: device, precision, batches, norms."""

from __future__ import annotations

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image

from rar_agent.encoders.base import Fingerprint, FloatArray, Pixels, normalize
from rar_agent.encoders.engines import Engine
from rar_agent.encoders.engines.make import Source
from rar_agent.encoders.engines.torch_engine import TorchEngine, autocast
from rar_agent.encoders.image_network import ImageNetwork

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
        detail: See `Encoder.detail`.
    """

    text_scale: float
    names_help: bool
    image_network: ImageNetwork
    """On the device."""

    def __init__(
        self,
        name: str,
        dimension: int,
        device: str,
        fingerprint: Fingerprint,
        batch_size: int,
        detail: int,
    ) -> None:
        self.name = name
        self.dimension = dimension
        self.device = device
        self.fingerprint = fingerprint
        self.detail = detail
        self._batch_size = batch_size
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """What runs the image half; torch, unless `run_by` was told another."""
        return self._engine or TorchEngine(
            self.image_network, self.device, self.fingerprint.precision
        )

    def run_by(self, engine: Engine, batch_size: int, since: str = "") -> Self:
        """The same encoder with its image half run by an engine; weights are shared.

        Args:
            engine: Of this encoder's `source`.
            batch_size: Images in one forward pass.
            since: When the tuning was that decided it; empty where none did.
        """
        found = copy.copy(self)
        found._engine, found._batch_size = engine, batch_size
        found.fingerprint = replace(
            self.fingerprint, precision=engine.precision, engine=engine.name, since=since
        )
        return found

    def source(self, home: Path) -> Source:
        """What an engine runs of this encoder; `home` is where converted models are kept."""
        height, width = self.prepare(Image.new("RGB", (64, 64))).shape[:2]
        shape = (height, width)
        return Source(self.image_network, self.device, self.fingerprint.identity, shape, home)

    @abstractmethod
    def prepare(self, image: Image.Image) -> Pixels:
        """See `Encoder.prepare`."""

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
        if len(images) == 1:
            return self.encode_prepared([self.prepare(images[0])])
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow releases the GIL
            return self.encode_prepared(list(pool.map(self.prepare, images)))

    def encode_prepared(self, images: Sequence[Pixels]) -> tuple[FloatArray, FloatArray]:
        """See `Encoder.encode_prepared`."""
        rows, engine = np.empty((len(images), self.dimension), np.float32), self.engine
        for start in range(0, len(images), self._batch_size):
            chunk = images[start : start + self._batch_size]
            rows[start : start + len(chunk)] = engine.run(np.stack(chunk))
        return normalize(rows)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """See `Encoder.encode_texts`."""
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        distinct = list(places)
        rows = np.empty((len(distinct), self.dimension), np.float32)
        for start in range(0, len(distinct), TEXTS):
            chunk = distinct[start : start + TEXTS]
            with torch.inference_mode(), autocast(self.device, self.fingerprint.precision):
                rows[start : start + len(chunk)] = self._text_features(chunk).float().cpu().numpy()
        return normalize(rows)[0][[places[text] for text in texts]]
