"""Images on their way into the graph: what reading less of them changes, and what it does not."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from rar_agent import Recognizer
from rar_agent.images import admit
from rar_agent.types import Failure, Recognition
from tests.conftest import COLOURS, draw

TOLERANCE = 0.05
"""What the probability of the best category may change by."""


def enlarged(photo, megapixels, grain=0.0):
    """A photo as a camera with more pixels would have written it."""
    scale = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
    size = (round(photo.width * scale), round(photo.height * scale))
    pixels = np.asarray(photo.resize(size, Image.Resampling.BICUBIC), np.float32)
    pixels = pixels + grain * np.random.default_rng(0).standard_normal((*pixels.shape[:2], 1))
    buffer = BytesIO()
    shown = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    shown.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.mark.parametrize("megapixels", [0.3, 1.5, 6, 12])
def test_a_large_photo_is_recognised_as_when_it_is_decoded_whole(photo, home, megapixels):
    data = enlarged(admit(photo).rgb, megapixels, grain=4)
    reduced, whole = (
        Recognizer(home=home, device="cpu", decode_whole=how).recognize(data)
        for how in (False, True)
    )
    assert reduced.label == whole.label
    assert abs(reduced.categories[0].probability - whole.categories[0].probability) < TOLERANCE


@pytest.mark.data
def test_real_photos_are_recognised_as_when_they_are_decoded_whole(data, home):
    """43 everyday scenes, of which most are of no category: where it is sure, it stays sure."""
    files = sorted((data / "coco128" / "images").rglob("*.jpg"))[::3]
    images = [enlarged(admit(file).rgb, 3) for file in files]
    found = [
        Recognizer(home=home, device="cpu", decode_whole=how).recognize_batch(images)
        for how in (False, True)
    ]
    same = [a.label == b.label for a, b in zip(*found, strict=True)]
    sure = [b.categories[0].probability > 0.5 for b in found[1]]
    assert np.mean(same) >= 0.9
    assert all(one for one, known in zip(same, sure, strict=True) if known)
    differences = [
        abs(a.categories[0].probability - b.categories[0].probability)
        for a, b, one in zip(*found, same, strict=True)
        if one
    ]
    assert np.mean(differences) < 0.02


def test_a_batch_gives_what_single_ones_give_and_failures_stay_in_place(home):
    one = Recognizer(home=home, device="cpu", batch_size=2)
    images = [draw(colour, seed, 300) for seed, colour in enumerate(COLOURS)]
    given = [*images[:3], b"no image", *images[3:]]
    found = one.recognize_batch(given)
    assert isinstance(found[3], Failure)
    del found[3]
    for image, together in zip(images, found, strict=True):
        alone = Recognizer(home=home, device="cpu").recognize(image)
        assert isinstance(together, Recognition)
        assert together.label == alone.label
        for a, b in zip(together.categories, alone.categories, strict=True):
            assert a.probability == pytest.approx(b.probability, abs=1e-5)
