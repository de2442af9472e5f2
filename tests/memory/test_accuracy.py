"""Accuracy on a fixed subset of real images; benchmarks/methods.py has the full tables."""

import numpy as np
import pytest

from benchmarks import clip, peers
from benchmarks.features import encode, memory_of, record_of
from benchmarks.methods import measured

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def subset(data, tmp_path_factory):
    """40 of the bird classes: 18 images to learn, a quarter of the test images. Other things."""
    place = tmp_path_factory.mktemp("subset")
    parts = {
        "cub100/train": slice(18),
        "cub100/test": slice(None, None, 4),
        "caltech100/test": slice(1),
    }
    for source, part in parts.items():
        for folder in sorted((data / source).iterdir())[:40]:
            (place / source / folder.name).mkdir(parents=True)
            for image in sorted(folder.iterdir())[part]:
                (place / source / folder.name / image.name).symlink_to(image)
    return place


@pytest.fixture(scope="module")
def encoded(subset, builtin):
    sources = ("cub100/train", "cub100/test", "caltech100/test")
    return [encode(builtin, subset / source) for source in sources]


@pytest.mark.parametrize(("shots", "top1", "recall5"), [(4, 88.9, 98.7), (16, 94.9, 99.7)])
def test_birds(subset, encoded, builtin, tmp_path, shots, top1, recall5):
    train, test, strangers = encoded
    drawn = train.drawn(subset / "cub100" / "train", shots, seed=1)
    known = train.vectors[drawn], train.labels[drawn]
    memory = memory_of(tmp_path / "memories" / "m", record_of(builtin), *known, train.names)
    found = measured(memory, test, strangers.vectors)
    assert found["fitted"] == pytest.approx(top1, abs=1.5)
    assert found["recall5"] == pytest.approx(recall5, abs=1.5)
    nearest = peers.nearest(*known, test.vectors).argmax(axis=1)
    assert found["fitted"] > 100 * np.mean(nearest == test.labels) + 5
    assert found["ece"] < 7  # of 314 images: its noise alone is 3
    assert found["covered 0.95"] > 93
    assert found["size 0.95"] < 2.5
    assert found["auroc"] > 98
    norms = np.ones(len(test.vectors), np.float32)
    answers = memory.search(test.vectors, norms, k=1, exemplars=0)
    right = [a.candidates[0].category.name for a in answers] == np.array(test.names)[test.labels]
    assert 100 * np.mean(right) == pytest.approx(found["fitted"])
    assert np.mean([not answer.similar_enough for answer in answers]) < 0.03


@pytest.mark.parametrize(
    ("name", "knn", "fitted"), [("pets37", 53.2, 73.9), ("cars196", 46.3, 57.1)]
)
def test_clip_vectors(data, name, knn, fitted):
    """The reference code's own memories, one image of each category held out in turn."""
    found = clip.measure(data / "rar_memory" / name)
    assert found["knn"] == pytest.approx(knn, abs=0.5)
    assert found["fitted"] == pytest.approx(fitted, abs=2.0)
    assert found["low"] > 0
