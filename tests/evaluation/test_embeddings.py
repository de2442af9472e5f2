"""Kept embeddings: the encoder's own, and each image encoded once."""

import numpy as np
import pytest

from rar_agent.evaluation.embeddings import KeptEncoder
from tests.conftest import draw
from tests.disks import read_only, small_disk

IMAGES = [draw(colour, 1) for colour in ("red", "green", "blue")]


class Counting:
    """The builtin encoder, and how many images it was given."""

    def __init__(self, encoder):
        self._encoder = encoder
        self.given = 0

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def encode_prepared(self, images):
        self.given += len(images)
        return self._encoder.encode_prepared(images)


@pytest.fixture
def counting(builtin):
    return Counting(builtin)


def test_each_image_is_encoded_once_and_as_the_encoder_does(counting, builtin, tmp_path):
    kept = KeptEncoder(counting, tmp_path)
    rows, norms = kept.encode_images_with_norms([IMAGES[0], IMAGES[1], IMAGES[0]])
    own, lengths = builtin.encode_images_with_norms([IMAGES[0], IMAGES[1]])
    assert np.array_equal(rows, own[[0, 1, 0]])
    assert np.array_equal(norms, lengths[[0, 1, 0]])
    assert rows.dtype == norms.dtype == np.float32
    again = KeptEncoder(counting, tmp_path)  # another process
    assert np.array_equal(again.encode_images(IMAGES)[:2], own)
    assert (counting.given, kept.encoded, again.encoded) == (3, 2, 1)
    assert np.array_equal(kept.encode_texts(["cat"]), builtin.encode_texts(["cat"]))


def test_another_precision_has_its_own(counting, tmp_path):
    KeptEncoder(counting, tmp_path).encode_images(IMAGES[:1])
    mark = counting.fingerprint
    other = Counting(counting)
    other.fingerprint = type(mark)(mark.details, "bf16")
    KeptEncoder(other, tmp_path).encode_images(IMAGES[:1])
    assert other.given == 1
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def test_many_images_at_once(tmp_path):
    class Tiny(Counting):
        fingerprint = type("F", (), {"identity": "x", "precision": "fp32"})()
        dimension = 2

        def prepare(self, image):
            return np.asarray(image)

        def encode_prepared(self, images):
            self.given += len(images)
            rows = np.array([[image[0, 0, 0], 1] for image in images], np.float32)
            return rows, np.ones(len(images), np.float32)

    from PIL import Image

    images = [Image.new("RGB", (1, 1), (i % 256, i // 256, 0)) for i in range(1_200)]
    kept = KeptEncoder(Tiny(None), tmp_path)
    first = kept.encode_images(images)
    assert np.array_equal(kept.encode_images(images), first)
    assert kept.encoded == 1_200
    assert first[:, 0].tolist() == [i % 256 for i in range(1_200)]


def test_a_full_disk_costs_only_what_is_kept(counting, builtin, tmp_path, caplog):
    own = builtin.encode_images(IMAGES)
    with small_disk(tmp_path / "disk") as disk:
        for room in (0, 1, 4, 12):
            with disk.leaving(room):
                kept = KeptEncoder(counting, disk.path / str(room))
                for _ in range(2):
                    assert np.array_equal(kept.encode_images(IMAGES), own)
    said = [record.message for record in caplog.records]
    assert 0 < len(said) <= 4
    assert all("embeddings are not kept" in one for one in said)


def test_a_folder_that_may_only_be_read(counting, builtin, tmp_path):
    own = builtin.encode_images(IMAGES)
    (tmp_path / "home").mkdir()
    with read_only(tmp_path / "home"):
        kept = KeptEncoder(counting, tmp_path / "home" / "cache")
        assert np.array_equal(kept.encode_images(IMAGES), own)
