"""Our encoders as LangChain embeddings, and LangChain embeddings as encoders of texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from langchain_core.embeddings import Embeddings
from PIL import Image

from rar_agent.encoders import Encoder, Fingerprint, FloatArray
from rar_agent.encoders.base import Pixels, normalize
from rar_agent.errors import InputError, ProviderError, RarError
from rar_agent.images import ImageSource, Policy, admit

TEXT_SCALE = 20.0
"""Factor from cosines of texts to logits: it is not known of other embeddings, and sentence
encoders are trained with about this one."""

_MODEL_FIELDS = ("model", "model_name", "model_id", "repo_id", "deployment")
_PROBE = "dimension"
_SHORTEST = 1e-6  # a vector shorter than this points nowhere


class MemoryEmbeddings(Embeddings):
    """An encoder as LangChain `Embeddings`, for texts and for images.

    Every embedding is a list of d floats of length 1. Texts are embedded as they are, without the
    templates that a memory puts names into. Thread-safe.

    Args:
        encoder: Such as `load_encoder` gives.
        policy: Which images may be read, and how large; default: the caller's own code.
    """

    def __init__(self, encoder: Encoder, policy: Policy | None = None) -> None:
        self.encoder = encoder
        self.policy = policy or Policy()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts: n lists of d floats."""
        if not texts:
            return []
        found: list[list[float]] = self.encoder.encode_texts(list(texts)).tolist()
        return found

    def embed_query(self, text: str) -> list[float]:
        """Embed one text: d floats."""
        return self.embed_documents([text])[0]

    def embed_images(self, images: Sequence[ImageSource]) -> list[list[float]]:
        """Embed images: n lists of d floats.

        Raises:
            ImageError: One is no image, or may not be read.
            InputError: The encoder knows texts only.
        """
        if not len(images):
            return []
        admitted = [admit(image, self.policy).rgb for image in images]
        found: list[list[float]] = self.encoder.encode_images(admitted).tolist()
        return found

    def embed_image(self, image: ImageSource) -> list[float]:
        """Embed one image: d floats.

        Raises:
            ImageError: It is no image, or may not be read.
            InputError: The encoder knows texts only.
        """
        return self.embed_images([image])[0]


class EmbeddingsEncoder:
    """Any LangChain `Embeddings` as an encoder of texts, so that a memory can be made with them.

    Its memories know categories by text; images cannot be embedded. Thread-safe where the
    embeddings are.

    Args:
        embeddings: Any.
        dimension: Length d of an embedding; default: one text is embedded to see.

    Attributes:
        device: Not known here: the embeddings decide.
        detail: Of images, none.
        text_scale: See `TEXT_SCALE`.
        names_help: False: names are used where they are asked for, and without a photo's caption.
    """

    device = "unknown"
    detail = 0
    text_scale = TEXT_SCALE
    names_help = False

    def __init__(self, embeddings: Embeddings, dimension: int | None = None) -> None:
        self.embeddings = embeddings
        self._given_dimension = dimension

    @property
    def name(self) -> str:
        """`langchain:CLASS`, or `langchain:CLASS/MODEL` where the embeddings name their model."""
        kind = type(self.embeddings).__name__
        return f"langchain:{kind}/{self._model}" if self._model else f"langchain:{kind}"

    @cached_property
    def dimension(self) -> int:
        """Length d of an embedding.

        Raises:
            ProviderError: It was not given, and embedding a text to see failed.
        """
        if self._given_dimension is not None:
            return self._given_dimension
        return int(self._rows([_PROBE], None).shape[1])

    @property
    def fingerprint(self) -> Fingerprint:
        """Class, model and dimension: all that embeddings say of themselves."""
        details = {"class": type(self.embeddings).__name__, "dimension": str(self.dimension)}
        if self._model:
            details["model"] = self._model
        return Fingerprint(details)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts.

        Returns:
            (n, d) float32, each row of length 1.

        Raises:
            ProviderError: The embeddings failed, or gave no usable vectors.
        """
        if not len(texts):
            return np.empty((0, self.dimension), np.float32)
        return self._rows(texts, self.dimension)

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Refuse.

        Raises:
            InputError: Always.
        """
        raise self._refused(len(images))

    def encode_images_with_norms(
        self, images: Sequence[Image.Image]
    ) -> tuple[FloatArray, FloatArray]:
        """Refuse.

        Raises:
            InputError: Always.
        """
        raise self._refused(len(images))

    def prepare(self, image: Image.Image) -> Pixels:  # noqa: ARG002 - the protocol's
        """Refuse.

        Raises:
            InputError: Always.
        """
        raise self._refused(1)

    def encode_prepared(self, images: Sequence[Pixels]) -> tuple[FloatArray, FloatArray]:
        """Refuse.

        Raises:
            InputError: Always.
        """
        raise self._refused(len(images))

    def _refused(self, images: int) -> InputError:
        return InputError(
            f"{self.name} embeds texts only; it was given {images} images.",
            "Use an encoder of images and texts, such as load_encoder('builtin', settings).",
        )

    @property
    def _model(self) -> str:
        found = (getattr(self.embeddings, field, None) for field in _MODEL_FIELDS)
        return next((model for model in found if isinstance(model, str) and model), "")

    def _rows(self, texts: Sequence[str], dimension: int | None) -> FloatArray:
        try:
            rows = np.asarray(self.embeddings.embed_documents(list(texts)), np.float32)
        except RarError:
            raise
        except Exception as error:  # every provider raises its own
            raise ProviderError(
                f"{self.name} failed: {type(error).__name__}: {error}.",
                "Check its settings, its key and the network.",
            ) from error
        wanted = (len(texts), rows.shape[-1] if dimension is None and rows.ndim else dimension)
        if rows.shape != wanted or not np.isfinite(rows).all():
            raise ProviderError(
                f"{self.name} gave numbers of shape {rows.shape} for {len(texts)} texts, or some "
                f"that are not finite; expected {wanted}.",
                "Use other embeddings, or give the dimension that they really have.",
            )
        units, lengths = normalize(rows)
        if (lengths < _SHORTEST).any():
            which = texts[int(np.argmin(lengths))]
            raise ProviderError(
                f"{self.name} gave a vector of length 0 for '{which[:60]}'.",
                "It compares with nothing; use other texts or other embeddings.",
            )
        return units


def encoder_of(embedding: Embeddings | Encoder) -> Encoder:
    """The encoder behind embeddings: their own one, or an `EmbeddingsEncoder` over them."""
    if isinstance(embedding, MemoryEmbeddings):
        return embedding.encoder
    return EmbeddingsEncoder(embedding) if isinstance(embedding, Embeddings) else embedding


def embeddings_of(embedding: Embeddings | Encoder) -> Embeddings:
    """The embeddings of an encoder; embeddings are returned as they are."""
    if isinstance(embedding, Embeddings):
        return embedding
    if isinstance(embedding, EmbeddingsEncoder):
        return embedding.embeddings
    return MemoryEmbeddings(embedding)
