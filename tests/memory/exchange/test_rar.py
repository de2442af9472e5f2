import re
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rar_agent.errors import (
    DamagedDataError,
    FingerprintMismatchError,
    InputError,
    RarError,
)
from rar_agent.memory import list_memories, open_memory, verify_memory
from rar_agent.memory.exchange.rar import import_rar
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.teaching.teach import require_encoder

SETS = {"pets37": 37, "cub200": 200, "cars196": 196, "dogs120": 120, "flowers102": 102}
FOLDERS = ["000.Pink_Primrose", "001.Colt'S_Foot", "002.Sweet_Pea"]


def clustered(count, dimension=512, groups=3):
    random = np.random.default_rng(0)
    means = random.normal(size=(groups, dimension))
    rows = means[np.arange(count) * groups // count] + random.normal(size=(count, dimension)) / 2
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def hnsw(rows, metric=faiss.METRIC_INNER_PRODUCT):
    index = faiss.IndexHNSWFlat(rows.shape[1], 8, metric)
    index.add(rows)
    return index


@pytest.fixture
def written(tmp_path):
    """An index of 12 vectors not quite of length 1, and its labels."""
    rows = clustered(12)
    faiss.write_index(hnsw(rows * np.float32(1.0005)), str(tmp_path / "x.index"))
    lines = [f"/data/a b/{FOLDERS[i // 4]}/{i}'s photo.jpg {i // 4}\n" for i in range(12)]
    (tmp_path / "x.txt").write_text("".join(lines))
    return tmp_path / "x.index", tmp_path / "x.txt", rows


def names_of(memory):
    return [category.name for category in memory.categories]


def test_an_index_and_its_labels(tmp_path, written):
    index, labels, rows = written
    memory = import_rar(tmp_path, "flowers", index, labels, domain="flowers")
    assert names_of(memory) == ["Pink Primrose", "Colt'S Foot", "Sweet Pea"]
    assert memory.entries.columns.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    vectors = memory.entries.vectors(np.arange(12))
    assert np.allclose(vectors, rows, atol=1e-6)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(12), abs=1e-6)
    assert memory.entries.source(5) == "/data/a b/001.Colt'S_Foot/5's photo.jpg"
    assert memory.manifest.encoder.name == "open_clip:ViT-B-16/openai"
    assert memory.manifest.encoder.templates == (
        "a photo of a {}.",
        "a photo of a {}, a type of flowers.",
    )
    assert memory.manifest.domain == "flowers"
    assert verify_memory(tmp_path, "flowers") == []
    for method in ("fitted", "knn"):
        found = open_memory(tmp_path, "flowers").search(rows, np.ones(12, np.float32), 3, 3, method)
        assert [f.candidates[0].category.name for f in found] == [
            names_of(memory)[i // 4] for i in range(12)
        ]


def test_class_names(tmp_path, written):
    index, labels, _ = written
    (tmp_path / "names.txt").write_text("pink primrose\ncolt's foot\nsweet pea\nnever seen\n")
    memory = import_rar(tmp_path, "one", index, labels, classnames=tmp_path / "names.txt")
    assert names_of(memory) == ["pink primrose", "colt's foot", "sweet pea"]
    memory = import_rar(tmp_path, "two", index, labels, classnames=["a", "b", "c"])
    assert names_of(memory) == ["a", "b", "c"]
    with pytest.raises(InputError, match=r"Class 2 of .* has no name"):
        import_rar(tmp_path, "three", index, labels, classnames=["a", "b"])
    with pytest.raises(InputError, match="'a' appears twice"):
        import_rar(tmp_path, "three", index, labels, classnames=["a", "b", "a"])


def test_the_weights_are_not_verified(tmp_path, written, builtin):
    index, labels, _ = written
    memory = import_rar(tmp_path, "flowers", index, labels)
    with pytest.raises(FingerprintMismatchError, match="not verified: vectors imported from x"):
        require_encoder(memory, builtin)


def test_verified(tmp_path, written, builtin):
    index, labels, _ = written
    with pytest.raises(InputError, match=f"d 512, not {builtin.dimension}"):
        import_rar(tmp_path, "flowers", index, labels, verify=builtin)
    rows = clustered(12, builtin.dimension)
    faiss.write_index(hnsw(rows), str(index))
    memory = import_rar(tmp_path, "flowers", index, labels, verify=builtin)
    require_encoder(memory, builtin)
    assert memory.manifest.encoder.name == "builtin"


WRONG = {
    "no index": lambda rows: faiss.IndexFlatIP(512),
    "flat": lambda rows: flat(rows),
    "Euclidean": lambda rows: hnsw(rows, faiss.METRIC_L2),
    "shorter": lambda rows: hnsw(np.ascontiguousarray(rows[:, :64])),
    "empty": lambda rows: hnsw(rows[:0]),
    "one less": lambda rows: hnsw(rows[:-1]),
    "one more": lambda rows: hnsw(np.concatenate([rows, rows[:1]])),
    "quantised": lambda rows: quantised(rows),
}


def flat(rows):
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index


def quantised(rows):
    index = faiss.IndexHNSWSQ(512, faiss.ScalarQuantizer.QT_8bit, 8, faiss.METRIC_INNER_PRODUCT)
    index.train(rows)
    index.add(rows)
    return index


def refused(tmp_path, error, index, labels, **options):
    with pytest.raises(error) as caught:
        import_rar(tmp_path, "wrong", index, labels, **options)
    assert list_memories(tmp_path) == []
    assert not memory_folder(tmp_path, "wrong").exists()
    return str(caught.value)


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG.keys())
def test_indexes_of_another_kind(tmp_path, written, make):
    index, labels, rows = written
    faiss.write_index(make(rows), str(index))
    assert "x.index" in refused(tmp_path, InputError, index, labels)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0])
def test_vectors_that_point_nowhere(tmp_path, written, value):
    index, labels, rows = written
    made = hnsw(rows)
    kept = faiss.downcast_index(made.storage)
    codes = faiss.vector_to_array(kept.codes).view("<f4").reshape(rows.shape).copy()
    codes[7] = value
    faiss.copy_array_to_vector(codes.view(np.uint8).ravel(), kept.codes)
    faiss.write_index(made, str(index))
    assert "Vector 7" in refused(tmp_path, DamagedDataError, index, labels)


@pytest.mark.parametrize("content", [b"", b"IHNf", b"no index at all", b"\0" * 4_096])
def test_files_that_are_no_index(tmp_path, written, content):
    index, labels, _ = written
    index.write_bytes(content)
    refused(tmp_path, DamagedDataError, index, labels)


def test_files_that_are_not_there(tmp_path, written):
    index, labels, _ = written
    refused(tmp_path, InputError, tmp_path / "none.index", labels)
    refused(tmp_path, InputError, tmp_path, labels)
    refused(tmp_path, InputError, index, tmp_path / "none.txt")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.floats(0, 1, exclude_max=True))
def test_a_cut_file_is_refused(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("cut")
    faiss.write_index(hnsw(clustered(3)), str(folder / "x.index"))
    data = (folder / "x.index").read_bytes()
    (folder / "x.index").write_bytes(data[: int(cut * len(data))])
    (folder / "x.txt").write_text("a/1.jpg 0\n" * 3)
    refused(folder, DamagedDataError, folder / "x.index", folder / "x.txt")


def test_lengths_that_the_file_does_not_have(tmp_path, written):
    """A count of 2**40 vectors in the header asks for no memory."""
    index, labels, _ = written
    data = bytearray(index.read_bytes())
    data[8:16] = (2**40).to_bytes(8, "little")  # after the kind and the dimension: ntotal
    index.write_bytes(data)
    refused(tmp_path, RarError, index, labels)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a/1.jpg\n", "Line 1 .*'a/1.jpg'"),
        ("a/1.jpg 0\nb/2.jpg one\n", "Line 2"),
        ("a/1.jpg -1\n", "Line 1"),
        ("a/1.jpg 1.5\n", "Line 1"),
        ("a/1.jpg 99999999999999999999\n", "Line 1"),
        ("\n", "Line 1"),
        ("a/1.jpg ٣\n", "Line 1"),
        ("", "12 vectors.*0 lines"),
        ("a/1.jpg 0\nb/2.jpg 0\n", "12 vectors.*2 lines"),
        ("a/1.jpg 0\n" * 6 + "b/2.jpg 0\n" * 6, "folders of 'a' and 'b'"),
        ("a/1.jpg 0\n" * 6 + "a/2.jpg 1\n" * 6, "'a' appears twice"),
        ("1.jpg 0\n" * 12, "cannot name a category"),
    ],
)
def test_labels_that_make_no_sense(tmp_path, written, text, match):
    index, labels, _ = written
    labels.write_text(text)
    assert re.search(match, refused(tmp_path, InputError, index, labels))


def test_labels_that_are_no_text(tmp_path, written):
    index, labels, _ = written
    labels.write_bytes(b"\xff\xfe\0a")
    refused(tmp_path, InputError, index, labels)


def test_an_existing_memory_is_left_alone(tmp_path, written):
    index, labels, _ = written
    before = import_rar(tmp_path, "flowers", index, labels).manifest
    with pytest.raises(InputError, match="exists already"):
        import_rar(tmp_path, "flowers", index, labels)
    assert open_memory(tmp_path, "flowers").manifest == before


@pytest.mark.data
@pytest.mark.parametrize("name", SETS)
def test_the_reference_codes_own_files(data, tmp_path, name):
    folder: Path = data / "rar_memory" / name
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    index, labels = folder / f"{name}_database.index", folder / f"{name}_database.txt"
    memory = import_rar(tmp_path, name, index, labels)
    lines = labels.read_text().splitlines()
    assert len(memory.categories) == SETS[name]
    assert len(memory.entries) == len(lines) == 3 * SETS[name]
    classes = [int(line.rsplit(" ", 1)[1]) for line in lines]
    assert memory.entries.columns.tolist() == classes
    reference = faiss.read_index(str(index)).reconstruct_n(0, len(lines))
    vectors = memory.entries.vectors(np.arange(len(lines)))
    assert np.abs(vectors - reference).max() < 1e-3  # those are of length 1 ± 0.0006
    named = import_rar(tmp_path, "named", index, labels, classnames=folder / "classnames.txt")
    written = (folder / "classnames.txt").read_text().splitlines()
    assert names_of(named) == [line.strip() for line in written]
    found = named.search(vectors, np.ones(len(vectors), np.float32), k=1, method="knn")
    right = [
        f.candidates[0].category.name == written[c] for f, c in zip(found, classes, strict=True)
    ]
    assert np.mean(right) > 0.99


@pytest.mark.data
def test_names_with_apostrophes(data, tmp_path):
    folder = data / "rar_memory" / "flowers102"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    files = folder / "flowers102_database.index", folder / "flowers102_database.txt"
    memory = import_rar(tmp_path, "flowers", *files)
    assert memory.categories[11].name == "Colt'S Foot"
    named = import_rar(tmp_path, "named", *files, classnames=folder / "classnames.txt")
    assert named.categories[11].name.lower().replace("'", "") == "colts foot"
