"""Small real images, and what a reader made of them."""

import io

from PIL import Image

from rar_agent.memory.readers import Sample
from rar_agent.types import Failure


def png(number, side=2):
    """Bytes of an image that no other number gives."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (number % 256, number // 256, 77)).save(file, "PNG")
    return file.getvalue()


def read(reader):
    """Its samples and its failures."""
    everything = list(reader.samples())
    samples = [s for s in everything if isinstance(s, Sample)]
    failures = [f for f in everything if isinstance(f, Failure)]
    assert len(samples) + len(failures) == len(everything)
    return samples, failures


def learnt(reader):
    """Category names and images, in order."""
    return [(s.category.name, s.image) for s in read(reader)[0]]
