"""Numbers and names that a forged memory has: the file is named, nothing wrong is answered."""

import json

import numpy as np
import pytest

from rar_agent.errors import DamagedDataError
from rar_agent.memory.format.files import write_file
from rar_agent.memory.format.manifest import CATEGORY, FileRef
from rar_agent.memory.format.segment import open_segment
from rar_agent.memory.open import open_generation
from rar_agent.types import Category
from tests.memory.arrays import begin, drawn, memory_of
from tests.memory.format.committed import extend

NORMS = np.ones(2, np.float32)


def with_file(memory, kind, change):
    """The memory opened with another file of its first segment, and that file's name."""
    segment = memory.manifest.segments[0]
    old: FileRef = getattr(segment, kind)
    data = change((memory.folder / "data" / old.name).read_bytes())
    ref = write_file(memory.folder, data, kind)
    segments = (segment.model_copy(update={kind: ref}), *memory.manifest.segments[1:])
    manifest = memory.manifest.model_copy(update={"segments": segments})
    return open_generation(memory.folder, manifest), ref.name


def filled(value):
    def change(data):
        rows = np.frombuffer(data, "<f4").copy()
        rows[:8] = value
        return rows.tobytes()

    return change


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 1e6, 1e20])
@pytest.mark.parametrize("method", ["fitted", "knn"])
def test_vectors_that_are_none(tmp_path, value, method):
    memory = extend(tmp_path / "memories" / "m")
    opened, name = with_file(memory, "vectors", filled(value))
    with (
        np.errstate(all="ignore"),
        pytest.raises(DamagedDataError, match=f"{name} is damaged: vector 0 has the length"),
    ):
        opened.search(np.concatenate([drawn(7, 1), drawn(8, 1)]), NORMS, 3, method=method)


def test_exemplars_without_a_fit(tmp_path):
    memory = extend(tmp_path / "memories" / "m")
    opened = open_generation(memory.folder, memory.manifest.model_copy(update={"fit": None}))
    with pytest.raises(DamagedDataError, match=r"000001\.json is damaged: fit: there is none"):
        opened.search(np.concatenate([drawn(7, 1), drawn(8, 1)]), NORMS, 3)


@pytest.mark.parametrize(("field", "value"), [("length", np.nan), ("bias", np.inf), ("length", -1)])
def test_rows_of_a_classifier_that_are_none(tmp_path, field, value):
    memory = memory_of(tmp_path, heads={i: drawn(i, 1)[0] for i in range(3)})

    def change(data):
        rows = np.frombuffer(data, memory.entries.segments[0].entries.dtype).copy()
        rows[field][1] = value
        return rows.tobytes()

    opened, name = with_file(memory, "entries", change)
    queries = np.concatenate([drawn(7, 1), drawn(8, 1)])
    if value == -1:  # a length that is wrong, and a number
        assert len(opened.search(queries, NORMS, 3)[0].candidates) == 3
        return
    with (
        np.errstate(all="ignore"),
        pytest.raises(DamagedDataError, match=f"{name} is damaged: length or bias 1"),
    ):
        opened.search(queries, NORMS, 3)


@pytest.mark.parametrize(("field", "value"), [("source_start", -5), ("source_start", 2**62)])
def test_sources_that_are_nowhere(tmp_path, field, value):
    memory = extend(tmp_path / "memories" / "m")

    def change(data):
        rows = np.frombuffer(data, memory.entries.segments[0].entries.dtype).copy()
        rows[field][0] = value
        return rows.tobytes()

    opened, name = with_file(memory, "entries", change)
    with pytest.raises(DamagedDataError, match=f"{name} is damaged: source 0 is at {value} to"):
        opened.entries.source(0)


def test_pictures_that_are_nowhere(tmp_path):
    memory = extend(tmp_path / "memories" / "m", thumbnails=True)
    ref = memory.manifest.segments[0]
    offsets = np.array([0] * ref.count + [2**40], "<i8")
    wrong = write_file(memory.folder, offsets.tobytes(), "offsets")
    pictures = ref.thumbnails.model_copy(update={"offsets": wrong})
    segment = open_segment(memory.folder, ref.model_copy(update={"thumbnails": pictures}), 8)
    with pytest.raises(DamagedDataError, match=f"{wrong.name} is damaged: picture"):
        segment.thumbnail(ref.count - 1)


def test_names_that_two_categories_have(tmp_path):
    draft = begin(tmp_path / "memories" / "m")
    draft.put(Category(name="same"))
    draft.put(Category(name="same"))
    with pytest.raises(DamagedDataError, match="the name of id 1 is another's"):
        draft.commit("ready")


def layered(memory, line, **row):
    """The memory opened with a category's line as it is given."""
    old = memory.manifest.layers[0]
    rows = np.frombuffer((memory.folder / "data" / old.rows.name).read_bytes(), CATEGORY)[:1].copy()
    rows["size"] = len(line)
    for field, value in row.items():
        rows[field] = value
    layer = old.model_copy(
        update={
            "count": 1,
            "rows": write_file(memory.folder, rows.tobytes(), "categories"),
            "lines": write_file(memory.folder, line, "jsonl"),
        }
    )
    update = {"layers": (layer,), "record_count": None, "category_count": 0}
    manifest = memory.manifest.model_copy(update=update)
    return open_generation(memory.folder, manifest), layer


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"id": 0, "name": "c0", "metadata": ' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"id": 0, "name": "c0", "parent": []}',
        b'{"id": 0, "name": "c0", "parent": "\\ud800"}',
        b'{"id": 0, "name": ["c0"]}',
        b'{"id": 1e999, "name": "c0"}',
        json.dumps({"id": 0, "name": "c0", "parent": "said in no row"}).encode(),
        b"{}",
        b"3",
    ],
)
def test_lines_that_are_no_category(tmp_path, line):
    memory = extend(tmp_path / "memories" / "m", categories=1)
    opened, layer = layered(memory, line)
    with pytest.raises(DamagedDataError, match=f"{layer.lines.name} is damaged: id 0 at 0 to"):
        opened.categories.places()


@pytest.mark.parametrize("number", [-1, 2**31, 2**62, -(2**63)])
def test_ids_of_categories_that_none_has(tmp_path, number):
    memory = extend(tmp_path / "memories" / "m", categories=1)
    with pytest.raises(DamagedDataError, match="categories is damaged: an id is out of range"):
        layered(memory, b'{"id": 0, "name": "c0"}', id=number)


def test_an_id_that_is_large_takes_no_memory_for_those_below(tmp_path):
    """2 GB, if each id up to the largest were marked."""
    memory = extend(tmp_path / "memories" / "m", categories=1)
    line = json.dumps({"id": 2**31 - 1, "name": "c0"}).encode()
    opened, _ = layered(memory, line, id=2**31 - 1)

    def change(data):
        rows = np.frombuffer(data, memory.entries.segments[0].entries.dtype).copy()
        rows["category"] = 2**31 - 1
        return rows.tobytes()

    opened, _ = with_file(opened, "entries", change)
    assert opened.entries.known.tolist() == [True]
