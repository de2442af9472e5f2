"""The protocol of encoders, and what tells one encoder from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rar_agent.errors import FingerprintMismatchError

FloatArray = NDArray[np.float32]

Pixels = NDArray[np.uint8]
"""(h, w, 3): an image cut and scaled to what a network takes."""


@dataclass(frozen=True)
class Fingerprint:
    """What has to be equal for embeddings to be comparable.

    Attributes:
        details: Architecture, weights, preprocessing, tokenizer, dimension: each a short text.
            They make the identity, which must match.
        precision: Precision class (`fp32`, `bf16`, `fp16`, `int8-` and which quantised model),
            which may differ.
        engine: What runs the image half, which may differ too.
        since: When it was tuned so; empty where it was not.
    """

    details: Mapping[str, str] = field(hash=False)
    precision: str = "fp32"
    engine: str = "torch"
    since: str = ""

    @property
    def identity(self) -> str:
        """First 16 hex digits of the details' sha256."""
        text = json.dumps(dict(self.details), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def require(self, other: Fingerprint, owner: str, fix: str) -> None:
        """Check that embeddings of both are comparable.

        Args:
            other: Fingerprint of the encoder that was loaded.
            owner: Whose fingerprint this is, for the message.
            fix: What to run if they differ.

        Raises:
            FingerprintMismatchError: The identities differ; the message says in what.
        """
        if self.identity == other.identity:
            return
        keys = sorted({*self.details, *other.details})
        pairs = ((key, self.details.get(key), other.details.get(key)) for key in keys)
        differing = [f"{key} ({mine} there, {its} here)" for key, mine, its in pairs if mine != its]
        raise FingerprintMismatchError(
            f"{owner} was made by another encoder: they differ in {', '.join(differing)}.", fix
        )


class Encoder(Protocol):
    """Images and texts → one joint space. Implementations are thread-safe."""

    @property
    def name(self) -> str:
        """What `load_encoder` takes to load it again."""

    @property
    def dimension(self) -> int:
        """Length d of an embedding."""

    @property
    def device(self) -> str:
        """Torch device that it runs on."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Identity and precision class."""

    @property
    def text_scale(self) -> float:
        """Factor that turns image-text cosines into logits (CLIP's learnt logit scale)."""

    @property
    def names_help(self) -> bool:
        """Whether text embeddings of names are good enough to use without being asked."""

    @property
    def detail(self) -> int:
        """Pixels to which an image's shorter side is scaled; 0 where that is not known."""

    def prepare(self, image: Image.Image) -> Pixels:
        """Cut and scale one RGB image; all that `encode_prepared` needs of it."""

    def encode_prepared(self, images: Sequence[Pixels]) -> tuple[FloatArray, FloatArray]:
        """Embed prepared images; see `encode_images_with_norms`."""

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Embed RGB images.

        Returns:
            (n, d) float32, each row of length 1.
        """

    def encode_images_with_norms(
        self, images: Sequence[Image.Image]
    ) -> tuple[FloatArray, FloatArray]:
        """Embed RGB images; keep each row's length before normalisation.

        A linear classifier's own probability needs the length, cosines do not.

        Returns:
            (n, d) float32 of unit rows, and (n,) float32 lengths, at least 0.
        """

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts.

        Returns:
            (n, d) float32, each row of length 1.
        """


def normalize(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scale rows (n, d) to length 1; returns them and their (n,) lengths."""
    lengths = np.linalg.norm(rows, axis=1).astype(np.float32)
    return (rows / np.maximum(lengths, 1e-12)[:, None]).astype(np.float32), lengths


def sha256_of(parts: Sequence[bytes | memoryview]) -> str:
    """First 16 hex digits of a sha256 over parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]
