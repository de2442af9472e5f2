"""CUB, Stanford Dogs and RAF-DB, on small data sets of their layout."""

import numpy as np
import pytest
from scipy.io import savemat

from rar_agent.errors import DamagedDataError
from rar_agent.evaluation.datasets import load_card, load_dataset
from tests.evaluation.datasets.conftest import paint


def card(name, at, **counts):
    """A shipped card with small counts."""
    found = load_card(name, at.home)
    changed = type(found.counts)(**counts)
    return found.model_copy(update={"counts": changed, "classes": ""})


def lines(*values):
    return "".join(f"{value}\n" for value in values)


@pytest.fixture
def cub(place):
    root = place / "cub200" / "CUB_200_2011"
    (root / "images").mkdir(parents=True)
    folders = ("001.Black_footed_Albatross", "002.Laysan_Albatross")
    paths = [f"{folder}/{i}.jpg" for folder in folders for i in range(3)]
    for number, path in enumerate(paths):
        paint(root / "images" / path, (number, 0, 0))
    numbered = list(enumerate(paths, 1))
    (root / "classes.txt").write_text(lines(*(f"{i} {f}" for i, f in enumerate(folders, 1))))
    (root / "images.txt").write_text(lines(*(f"{i} {p}" for i, p in numbered)))
    (root / "image_class_labels.txt").write_text(
        lines(*(f"{i} {(i + 2) // 3}" for i, _ in numbered))
    )
    (root / "train_test_split.txt").write_text(
        lines(*(f"{i} {int(i % 3 > 0)}" for i, _ in numbered))
    )
    return root


def test_cub(cub, at):
    data = load_dataset(card("cub200", at, categories=2, train=4, test=2), at)
    assert [c.name for c in data.categories] == ["Black footed Albatross", "Laysan Albatross"]
    assert data.renamed["Black_footed_Albatross"] == "Black footed Albatross"
    assert [(image.key, image.category) for image in data.test] == [
        ("001.Black_footed_Albatross/2.jpg", 0),
        ("002.Laysan_Albatross/2.jpg", 1),
    ]
    assert all(image.file.is_file() for image in data.train)


def test_cub_with_a_list_that_was_cut(cub, at):
    (cub / "train_test_split.txt").write_text("1 1\n")
    with pytest.raises(DamagedDataError, match="lists image 2, but not its class or part"):
        load_dataset(card("cub200", at), at)


def test_dogs(place, at):
    root = place / "dogs120-full"
    for part, numbers in (("train", (1, 2)), ("test", (3,))):
        paths = [f"n0{f}/{f}_{n}.jpg" for f in ("2-Maltese_dog", "1-Chihuahua") for n in numbers]
        for path in paths:
            paint(root / "Images" / path)
        cells = np.empty((len(paths), 1), object)
        cells[:, 0] = paths
        savemat(root / f"{part}_list.mat", {"file_list": cells})
    data = load_dataset(card("dogs120-full", at, categories=2, train=4, test=2), at)
    assert [category.name for category in data.categories] == ["Chihuahua", "Maltese dog"]
    assert [image.category for image in data.train] == [1, 1, 0, 0]
    (root / "test_list.mat").write_bytes(b"not matlab" * 20)
    with pytest.raises(DamagedDataError, match=r"test_list\.mat"):
        load_dataset(card("dogs120-full", at), at)


def test_raf(place, at):
    root = place / "raf_db" / "basic"
    for number, name in enumerate(("train_00001", "train_00002", "test_0001")):
        paint(root / "Image" / "aligned" / f"{name}_aligned.jpg", (number, 0, 0))
    labels = root / "EmoLabel" / "list_patition_label.txt"
    labels.parent.mkdir()
    labels.write_text("train_00001.jpg 1\ntrain_00002.jpg 7\ntest_0001.jpg 4\n")
    data = load_dataset(card("raf_db", at, categories=7, train=2, test=1), at)
    assert [data.categories[image.category].name for image in (*data.train, *data.test)] == [
        "surprise",
        "neutral",
        "happiness",
    ]
    labels.write_text("train_00001.jpg 8\n")
    with pytest.raises(DamagedDataError, match="the class 8; there are 7"):
        load_dataset(card("raf_db", at), at)
