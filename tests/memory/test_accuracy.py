"""Accuracy on a fixed subset of real images; benchmarks/accuracy.py has the full tables."""

import numpy as np
import pytest

from benchmarks import clip
from benchmarks.accuracy import RememberingEncoder, encode_folder, measure
from rar_agent.memory import create_memory, read_folder

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def birds(data, builtin, tmp_path_factory):
    """40 of the bird classes: a quarter of their test images, and an encoder that remembers."""
    encoder = RememberingEncoder(builtin)
    small = tmp_path_factory.mktemp("birds")
    for part, every in (("train", 1), ("test", 4)):
        for place in sorted((data / "cub100" / part).iterdir())[:40]:
            (small / part / place.name).mkdir(parents=True)
            for image in sorted(place.iterdir())[::every]:
                (small / part / place.name / image.name).symlink_to(image)
    return small, encoder, encode_folder(encoder, small / "test")


@pytest.mark.parametrize(("shots", "top1", "recall5"), [(4, 88.5, 99.4), (16, 95.2, 100.0)])
def test_birds(birds, tmp_path, shots, top1, recall5):
    small, encoder, queries = birds
    taught = read_folder(small / "train", shots, seed=1)
    memory = create_memory(tmp_path, "birds", encoder, taught).memory
    fitted, knn = measure(memory, queries, "fitted"), measure(memory, queries, "knn")
    assert fitted["top1"] == pytest.approx(top1, abs=1.5)
    assert fitted["recall5"] == pytest.approx(recall5, abs=1.5)
    assert fitted["top1"] > knn["top1"] + 5
    assert fitted["abstained"] < 3
    assert fitted["ece"] < 7  # of 314 images: its noise alone is 3
    vectors, norms, names = queries
    sets = memory.search(vectors, norms, exemplars=0, coverage=0.95)
    inside = [
        name in [candidate.category.name for candidate in result.candidates]
        for result, name in zip(sets, names, strict=True)
    ]
    assert np.mean(inside) > 0.93
    assert np.mean([len(result.candidates) for result in sets]) < 2.5


@pytest.mark.parametrize(
    ("name", "knn", "fitted"), [("pets37", 53.2, 73.9), ("cars196", 46.3, 57.1)]
)
def test_clip_vectors(data, name, knn, fitted):
    """The reference code's own memories, one image of each category held out in turn."""
    found = clip.measure(data / "rar_memory" / name)
    assert found["knn"] == pytest.approx(knn, abs=0.5)
    assert found["fitted"] == pytest.approx(fitted, abs=2.0)
    assert found["low"] > 0
