"""Contract 2: a crash or damage at any point leaves the old or the new generation, or an error."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rar_agent.errors import DamagedDataError, NotFoundError, RarError
from rar_agent.memory import open_memory, verify_memory
from rar_agent.memory.format import categories, generation
from rar_agent.memory.format.generation import read_manifest
from rar_agent.memory.format.manifest import CATEGORY
from rar_agent.types import Category
from tests.memory.arrays import begin, drawn
from tests.memory.format.committed import contents, extend, leftovers


@pytest.fixture
def memory(tmp_path):
    return extend(tmp_path / "memories" / "m", thumbnails=True)


def opened(tmp_path):
    return open_memory(tmp_path, "m")


def test_what_is_committed_is_what_is_opened(memory, tmp_path):
    assert contents(opened(tmp_path)) == contents(memory)
    later = extend(memory.folder, seed=1, after=memory)
    assert contents(opened(tmp_path)) == contents(later)
    assert opened(tmp_path).manifest.generation == 2
    old, new = contents(memory), contents(later)
    # What was there is unchanged, and the thumbnails that there were are the right ones.
    assert set(old[1]) < set(new[1])
    assert set(old[-1]) == {b"", b"JPEG 0 1", b"JPEG 1 1", b"JPEG 2 1"}
    pictures = {
        memory.entries.id_of(int(r)): memory.thumbnail(memory.entries.id_of(int(r)))
        for r in memory.entries.live
    }
    assert {e: later.thumbnail(e) for e in pictures} == pictures


category_details = st.builds(
    Category,
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    aliases=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9)).map(tuple),
    description=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    parent=st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    metadata=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=2
                )
            ),
            max_leaves=4,
        ),
        max_size=3,
    ),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(details=st.lists(category_details, min_size=1, max_size=6, unique_by=lambda c: c.name))
def test_any_category_is_what_it_was(tmp_path, details):
    """Whatever text is in it: newlines, other line separators, quotes, NUL."""
    shutil.rmtree(tmp_path / "memories", ignore_errors=True)
    draft = begin(tmp_path / "memories" / "m")
    for category in details:
        draft.put(category)
    draft.commit("ready")
    found = opened(tmp_path).categories
    assert list(found) == details
    assert [found.find(c.name) for c in details] == list(range(len(details)))
    for category in details:
        children = [details[i].name for i in found.children(category.parent)]
        if category.parent:
            assert children == [c.name for c in details if c.parent == category.parent]
    assert found.find("no such name\n") is None


STEPS = ["before the manifest", "before CURRENT", "during CURRENT", "after CURRENT"]


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_leaves_the_old_or_the_new_generation(memory, tmp_path, monkeypatch, step):
    """At named steps; `test_crashes` has every step of every change."""
    old = contents(memory)
    write = generation.replace_file

    def crashing(path, data):
        if step == "before the manifest" and path.suffix == ".json":
            raise SystemExit
        if step == "before CURRENT" and path.name == "CURRENT":
            raise SystemExit
        if step == "during CURRENT" and path.name == "CURRENT":
            path.with_name("CURRENT.tmp").write_bytes(data[: len(data) // 2])
            raise SystemExit
        write(path, data)
        if step == "after CURRENT" and path.name == "CURRENT":
            raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(generation, "replace_file", crashing)
        with pytest.raises(SystemExit):
            extend(memory.folder, seed=1, after=memory)
    found = opened(tmp_path)
    assert found.manifest.generation == (2 if step == "after CURRENT" else 1)
    if step != "after CURRENT":
        assert contents(found) == old
    assert verify_memory(tmp_path, "m") == []
    # The next writer goes on, and leaves no draft behind.
    extend(memory.folder, seed=2, after=found)
    assert verify_memory(tmp_path, "m") == []
    assert leftovers(memory.folder) == []


def test_readers_survive_the_writers_clean_up(memory, tmp_path):
    """Also one that had not read everything yet: what it needs is in its hands when it is open."""
    searched, fresh = opened(tmp_path), opened(tmp_path)
    queries, norms = drawn(7, 3), np.ones(3, np.float32)
    before, found = contents(searched), searched.search(queries, norms)
    later = memory
    for seed in range(1, 6):
        later = extend(memory.folder, seed=seed, after=later)
    assert contents(searched) == contents(fresh) == before
    assert fresh.search(queries, norms) == searched.search(queries, norms) == found
    assert fresh.changed == searched.changed == 0
    assert len(list((memory.folder / "generations").iterdir())) == 2
    assert leftovers(memory.folder) == []


def test_readers_survive_where_the_fit_knows_of_removed_entries(memory, tmp_path):
    draft = begin(memory.folder, memory)
    draft.remove([1])
    memory = draft.commit("ready", "always")
    reader = opened(tmp_path)
    for seed in range(1, 4):
        draft = begin(memory.folder, memory)
        draft.remove([1 + seed])
        memory = draft.commit("ready", "always")
    assert reader.search(drawn(7, 1), np.ones(1, np.float32))[0].candidates


@pytest.fixture(scope="module")
def long_lived(tmp_path_factory):
    """A memory with a file of every kind: tombstones, thumbnails, texts, two layers, a fit that
    knows of removed entries."""
    folder = tmp_path_factory.mktemp("long") / "memories" / "m"
    memory = extend(folder, categories=4, shots=12, thumbnails=True)
    draft = begin(folder, memory)
    draft.remove([1, 17])
    draft.put(Category(name="c0", description="said later", parent="all"), 0)
    memory = draft.commit("ready", "always")
    draft = begin(folder, memory)
    draft.remove([5])
    memory = draft.commit("ready", "never")
    kinds = {ref.name.partition(".")[2] for ref in memory.manifest.files()}
    assert kinds == {
        "vectors",
        "entries",
        "sources",
        "jpegs",
        "offsets",
        "categories",
        "jsonl",
        "ids",
        "npz",
    }
    return folder.parent


def answers(memory):
    queries = drawn(7, 2)
    return [
        memory.search(queries, np.ones(2, np.float32), k=9, method=method)
        for method in ("fitted", "knn")
    ]


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_damage_is_an_error_or_changes_nothing(long_lived, tmp_path_factory, data):
    """Any flipped, cut, longer or missing file: open or search fails with our error, or verify
    names the file, or nothing changed."""
    home = tmp_path_factory.getbasetemp() / "damaged"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(long_lived, home / "memories")
    whole = open_memory(home, "m")
    known, said = contents(whole), answers(whole)
    files = sorted(p for p in (home / "memories" / "m").rglob("*") if p.is_file())
    files = [p for p in files if p.name != "writer.lock" and p.stat().st_size]
    path = data.draw(st.sampled_from(files))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["flip", "flip", "flip", "cut", "longer", "missing"]))
    if kind == "flip":
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
    elif kind == "cut":
        path.write_bytes(content[:place])
    elif kind == "longer":
        path.write_bytes(content + content[place:])
    else:
        path.unlink()
    try:
        found = open_memory(home, "m")
        same = answers(found) == said and contents(found) == known
    except RarError as error:
        assert error.fix  # noqa: PT017
        return
    try:
        wrong = verify_memory(home, "m")
    except RarError:
        return
    if path.name not in {ref.name for ref in whole.manifest.files()} | {"CURRENT"}:
        # Only what the generation before needs, or the manifest, whose hash is known.
        assert (same, wrong) == (True, [])
    elif path.name == "CURRENT":
        assert (same, wrong) == (True, [])
    else:
        assert [name for name in wrong if path.name in name] == wrong != []


def test_flags_of_a_fit_that_zipfile_refuses(memory, tmp_path):
    """Encrypted, patched, of a later version: RuntimeError and NotImplementedError of zipfile."""
    path = memory.folder / "data" / memory.manifest.fit.arrays.name
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] ^= 1  # the flag for encryption
    path.write_bytes(content)
    with pytest.raises(DamagedDataError):
        answers(opened(tmp_path))


@pytest.mark.parametrize("gone", [3, 0])
def test_a_record_that_is_lost_is_damage(tmp_path, gone):
    """Of a branch too, which no entry names."""
    memory = extend(tmp_path / "memories" / "m")
    draft = begin(memory.folder, memory)
    draft.put(Category(name="branch", description="of all"))
    memory = draft.commit("ready")
    assert (memory.category_count, memory.manifest.record_count) == (3, 4)
    layer = memory.manifest.layers[gone > 0]
    path = memory.folder / "data" / layer.rows.name
    rows = np.frombuffer(path.read_bytes(), CATEGORY).copy()
    rows["size"][0] = 0
    path.write_bytes(rows.tobytes())
    with pytest.raises(DamagedDataError, match=r"has 3 categories and branches .* says 4"):
        opened(tmp_path)


def test_a_commit_while_building_does_not_count_all_entries(memory):
    draft = begin(memory.folder, memory)
    draft.put(Category(name="branch"))
    building = draft.commit("building", "never")
    assert "known" not in vars(building.entries)
    assert building.category_count == building.manifest.record_count == 4
    assert draft.commit("ready", "never").category_count == 3


def test_damage_of_each_file_is_named_by_verify(long_lived, tmp_path):
    shutil.copytree(long_lived, tmp_path / "memories")
    memory = opened(tmp_path)
    for ref in memory.manifest.files():
        path = memory.folder / "data" / ref.name
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        assert verify_memory(tmp_path, "m") == [f"{path} has changed: its sha256 is not its name."]
        path.unlink()
        assert verify_memory(tmp_path, "m") == [f"{path} is missing."]
        with pytest.raises(DamagedDataError, match="is missing"):
            answers(opened(tmp_path))
        path.write_bytes(content)
    assert verify_memory(tmp_path, "m") == []


@pytest.mark.parametrize("version", [0, 3, None, "2"])
def test_unknown_versions_say_what_to_do(memory, tmp_path, version):
    folder = memory.folder
    path = folder / "generations" / "000001.json"
    manifest = {**json.loads(path.read_bytes()), "format_version": version}
    data = json.dumps(manifest).encode()
    path.write_bytes(data)
    current = {"generation": 1, "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "CURRENT").write_text(json.dumps(current))
    with pytest.raises(DamagedDataError, match=rf"format version {version};.*Install"):
        opened(tmp_path)


def test_what_is_not_there(tmp_path):
    with pytest.raises(NotFoundError, match="memory create nosuch"):
        open_memory(tmp_path, "nosuch")
    with pytest.raises(NotFoundError):
        read_manifest(tmp_path)


def test_a_valid_manifest_is_never_rewritten(memory, tmp_path):
    path = memory.folder / "generations" / "000001.json"
    before = path.read_bytes()
    again = memory.manifest.model_copy(update={"domain": "other"})
    with pytest.raises(DamagedDataError, match="committed already"):
        generation.commit(memory.folder, again)
    assert path.read_bytes() == before
    assert opened(tmp_path).manifest == memory.manifest


def test_verify_is_not_misled_by_a_writer(memory, tmp_path, monkeypatch):
    """Files that a writer removes while they are hashed are no damage."""
    read, newest = generation._wrong_files, memory

    def meanwhile(folder, manifest):
        nonlocal newest
        if newest is memory:
            for seed in (1, 2, 3):
                newest = extend(folder, seed=seed, after=newest)
        return read(folder, manifest)

    monkeypatch.setattr(generation, "_wrong_files", meanwhile)
    assert verify_memory(tmp_path, "m") == []


def test_copies_among_the_manifests_do_not_matter(memory, tmp_path):
    folder = memory.folder / "generations"
    shutil.copy(folder / "000001.json", folder / "000001 (conflicted copy).json")
    later = extend(memory.folder, seed=1, after=memory)
    assert contents(opened(tmp_path)) == contents(later)


def test_a_commit_opens_its_categories_once(tmp_path, monkeypatch):
    """Also where the scoring is chosen: at a million entries every opening is felt."""
    opened, real = [], categories.Categories.__init__

    def counting(self, folder, layers):
        opened.append(len(layers))
        real(self, folder, layers)

    monkeypatch.setattr(categories.Categories, "__init__", counting)
    memory = extend(tmp_path / "memories" / "m")
    assert memory.manifest.fit is not None
    assert len(opened) == 1
    extend(memory.folder, seed=1, after=memory)
    assert len(opened) == 2
