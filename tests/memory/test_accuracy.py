"""Accuracy on a fixed subset of real images; benchmarks/accuracy.py has the full tables."""

import pytest

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


@pytest.mark.parametrize(("shots", "top1", "recall5"), [(4, 82.5, 97.8), (16, 95.2, 100.0)])
def test_birds(birds, tmp_path, shots, top1, recall5):
    small, encoder, queries = birds
    taught = read_folder(small / "train", shots, seed=1)
    memory = create_memory(tmp_path, "birds", encoder, taught).memory
    fitted, knn = measure(memory, queries, "fitted"), measure(memory, queries, "knn")
    assert fitted["top1"] == pytest.approx(top1, abs=1.5)
    assert fitted["recall5"] == pytest.approx(recall5, abs=1.5)
    assert fitted["top1"] > knn["top1"] + 3
    assert fitted["abstained"] < 3
