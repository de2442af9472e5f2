"""A world small enough to be taught thousands of times: no torch, 6 x 6 pictures."""

import hashlib
import io

import numpy as np
from PIL import Image

from rar_agent.encoders import Fingerprint
from rar_agent.encoders.base import normalize

DIMENSION = 16
SIDE = 6


def random_of(text: str) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(text.encode()).digest()[:8]))


_PROJECTION = random_of("projection").normal(size=(SIDE * SIDE * 3, DIMENSION))


class TinyEncoder:
    """Maps pixels linearly, and texts at random; counts what it is asked for.

    Attributes:
        images: Number of images that it encoded.
        texts: Texts that it encoded.
    """

    name = "tiny"
    dimension = DIMENSION
    device = "cpu"
    text_scale = 20.0
    detail = SIDE

    def __init__(self, names_help=False, weights="tiny"):
        self.names_help = names_help
        self.fingerprint = Fingerprint({"architecture": "tiny", "weights": weights})
        self.images = 0
        self.texts = []

    def encode_images(self, images):
        return self.encode_images_with_norms(images)[0]

    def encode_images_with_norms(self, images):
        return self.encode_prepared([self.prepare(image) for image in images])

    def prepare(self, image):
        return np.asarray(image.resize((SIDE, SIDE)))

    def encode_prepared(self, images):
        self.images += len(images)
        small = [image.astype(np.float64) for image in images]
        # One by one: a product of matrices may round otherwise than one of a row.
        rows = [(pixels.ravel() / 128 - 1) @ _PROJECTION for pixels in small]
        return normalize(np.array(rows, np.float32).reshape(len(rows), DIMENSION))

    def encode_texts(self, texts):
        self.texts += texts
        rows = [random_of(text).normal(size=DIMENSION) for text in texts]
        return normalize(np.array(rows, np.float32).reshape(len(rows), DIMENSION))[0]


def picture(kind: str, number: int, noise: float = 70.0) -> Image.Image:
    """One picture of a kind; kinds overlap a little."""
    random = random_of(f"{kind}:{number}")
    pixels = random_of(kind).uniform(60, 195, (SIDE, SIDE, 3))
    pixels = pixels + random.normal(0, noise, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def png(kind: str, number: int) -> bytes:
    buffer = io.BytesIO()
    picture(kind, number).save(buffer, "PNG")
    return buffer.getvalue()
