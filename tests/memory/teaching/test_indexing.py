"""Large segments get an index, measured on the memory's own vectors; it never decides alone."""

import shutil

import numpy as np
import pytest

from rar_agent.memory import compact_memory, open_memory, verify_memory
from rar_agent.memory import nearest as nearest_entries
from rar_agent.memory.format.files import DATA
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.open import open_generation
from rar_agent.memory.teaching import indexing
from rar_agent.memory.teaching.draft import Draft
from rar_agent.types import Category
from tests.memory.arrays import RECORD, unit

COUNT, D, EACH = 120_000, 16, 10

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(0)
    centres = random.normal(size=(COUNT // EACH, D)).astype(np.float32)
    rows = np.repeat(centres, EACH, axis=0) + 0.3 * random.normal(size=(COUNT, D))
    return unit(rows)


@pytest.fixture(scope="module")
def large(vectors, tmp_path_factory):
    """A compacted memory of 12,000 categories, 10 photos each, and its home."""
    home = tmp_path_factory.mktemp("large")
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_STATE_HOME", str(home / "state"))
    draft = Draft(home / "memories" / "m", RECORD, D)
    numbers = [draft.put(Category(name=f"c{c}")) for c in range(COUNT // EACH)]
    entries = [NewEntry(numbers[i // EACH], text_content(str(i)), str(i)) for i in range(COUNT)]
    draft.add_segment("image", entries, vectors)
    texts = [NewEntry(numbers[c], text_content(f"t{c}"), f"c{c}") for c in range(2_000)]
    draft.add_segment("text", texts, vectors[: 2_000 * EACH : EACH])
    draft.commit("ready", "never")
    compact_memory(home, "m", fitting="never")
    yield home
    patch.undo()


@pytest.fixture
def home(large, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(large / "state"))
    return large


@pytest.fixture
def parsed(monkeypatch):
    """Index files that FAISS has parsed for searches."""
    paths, real = [], nearest_entries.open_index

    def remembering(path, *rest):
        index = real(path, *rest)
        paths.append(path)
        return index

    monkeypatch.setattr(nearest_entries, "open_index", remembering)
    return paths


def queries(vectors, count=50):
    random = np.random.default_rng(5)
    rows = vectors[random.choice(COUNT, count, replace=False)]
    return unit(rows + 0.1 * random.normal(size=rows.shape))


def nearest(memory, asked, k=10):
    return memory.nearest.rows("image", asked, k)[1]


def share_found(memory, vectors, asked):
    exact = np.argsort(-(asked @ vectors.T), axis=1)[:, :10]
    found = nearest(memory, asked)
    sources = [{int(memory.entries.source(int(row))) for row in line} for line in found]
    return np.mean([len(s & set(e.tolist())) / 10 for s, e in zip(sources, exact, strict=True)])


def test_recall_is_measured_for_photos_and_texts_apart_and_kept(home, vectors, parsed):
    memory = open_memory(home, "m")
    [image, text] = memory.manifest.segments
    assert image.index.kind == "hnsw"
    assert text.index is None  # 2,000 rows are searched exactly
    assert set(image.index.recall) == {"image", "text"}
    assert min(image.index.recall.values()) >= 0.95
    assert share_found(memory, vectors, queries(vectors)) > 0.93
    assert len(parsed) == 1


def test_one_query_and_many_agree(home, vectors):
    memory, asked = open_memory(home, "m"), queries(vectors)
    together = nearest(memory, asked)
    alone = np.concatenate([nearest(memory, asked[i : i + 1]) for i in range(len(asked))])
    assert (together == alone).all()


def test_what_is_taught_later_is_found_without_building_again(home, vectors):
    shutil.copytree(home / "memories" / "m", home / "memories" / "grown", dirs_exist_ok=True)
    memory = open_memory(home, "grown")
    draft = Draft.after(memory)
    number = draft.put(Category(name="new"))
    stranger = unit(-vectors[:1])
    draft.add_segment("image", [NewEntry(number, text_content("new"), "new")], stranger)
    gone = nearest(memory, vectors[:1], 1)[0, 0]
    draft.remove([memory.entries.id_of(int(gone))])
    grown = draft.commit("ready", "never")
    assert grown.manifest.segments[0].index == memory.manifest.segments[0].index
    assert grown.entries.source(int(nearest(grown, stranger, 1)[0, 0])) == "new"
    assert gone not in nearest(grown, vectors[:1], 50)


def test_an_index_from_elsewhere_is_never_parsed(home, vectors, parsed, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    memory = open_memory(home, "m")
    assert share_found(memory, vectors, queries(vectors, 10)) == 1.0
    assert not parsed
    # Compacting it here builds an index that may be parsed; asking for all builds none.
    shutil.copytree(memory.folder, home / "memories" / "moved")
    moved = compact_memory(home, "moved", fitting="never").memory
    assert share_found(moved, vectors, queries(vectors)) > 0.93
    assert len(parsed) == 1
    exact = compact_memory(home, "moved", fitting="never", recall=1.0).memory
    assert exact.manifest.segments[0].index is None


def test_a_damaged_index_is_not_parsed_and_verify_names_it(home, vectors, parsed):
    shutil.copytree(home / "memories" / "m", home / "memories" / "hurt")
    memory = open_memory(home, "hurt")
    path = memory.folder / DATA / memory.manifest.segments[0].index.file.name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.unlink()
    path.write_bytes(content)
    memory = open_memory(home, "hurt")
    assert share_found(memory, vectors, queries(vectors, 10)) == 1.0
    assert not parsed
    [wrong] = verify_memory(home, "hurt")
    assert path.name in wrong


def test_a_recall_that_is_not_reached_leaves_the_search_exact(tmp_path, vectors, monkeypatch):
    few = unit(vectors[:100_100, :4])
    draft = Draft(tmp_path / "memories" / "m", RECORD, 4)
    number = draft.put(Category(name="all"))
    entries = [NewEntry(number, text_content(str(i)), str(i)) for i in range(len(few))]
    draft.add_segment("image", entries, few)
    draft.commit("ready", "never")
    monkeypatch.setattr(indexing, "measure_recall", lambda *_: 0.5)
    memory = compact_memory(tmp_path, "m", fitting="never").memory
    assert memory.manifest.segments[0].index is None


def test_an_index_of_another_shape_is_not_used(home, vectors, parsed):
    memory = open_memory(home, "m")
    segment = memory.manifest.segments[0]
    wrong = segment.index.model_copy(
        update={"parameters": {**segment.index.parameters, "links": 8}}
    )
    manifest = memory.manifest.model_copy(
        update={"segments": (segment.model_copy(update={"index": wrong}),)}
    )
    opened = open_generation(memory.folder, manifest)
    assert share_found(opened, vectors, queries(vectors, 10)) == 1.0
    assert not parsed
