import base64
import io

import numpy as np
from PIL import Image

from rar_agent.images import to_data_uri
from tests.conftest import draw


def opened(uri):
    assert uri.startswith("data:image/jpeg;base64,")
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_large_images_are_scaled_to_the_side_and_small_ones_kept():
    assert max(opened(to_data_uri(draw("red", 1, 2000))).size) == 768
    assert opened(to_data_uri(draw("red", 1, 100))).size == (100, 100)


def test_the_budget_is_on_the_base64():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8))
    assert len(to_data_uri(noise).partition(",")[2]) > 100_000
    assert len(to_data_uri(noise, max_base64=100_000).partition(",")[2]) <= 100_000


def test_the_same_pixels_give_the_same_text():
    assert to_data_uri(draw("red", 1)) == to_data_uri(draw("red", 1))
