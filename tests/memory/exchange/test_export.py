import hashlib
import json
import os
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rar_agent.errors import ConfigurationError, DamagedDataError, InputError, NotFoundError
from rar_agent.memory import (
    add_to_memory,
    create_memory,
    list_memories,
    open_memory,
    read_folder,
    remove_from_memory,
    verify_memory,
)
from rar_agent.memory.exchange.dataframe import to_dataframe
from rar_agent.memory.exchange.export import export_memory
from rar_agent.memory.exchange.importing import import_memory
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.format.manifest import encoder_record
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.teaching.draft import Draft
from rar_agent.types import Category
from tests.conftest import COLOURS, draw
from tests.memory.arrays import begin, drawn

pytest.importorskip("pyarrow", reason="the extra 'data' is not installed")
import pyarrow as pa
import pyarrow.parquet as pq

FILES = ["categories.parquet", "entries.parquet", "memory.json", "vectors.npy"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def memory(home, builtin, discs):
    """Images, texts, details, thumbnails, several segments, and something forgotten."""
    names = [
        Category(
            name="red discs",
            aliases=("rosso", "Müller's"),
            description="like cherries",
            parent="warm colours",
            metadata={"n": [1, {"é": None}], "x": 1.5},
        ),
        Category(name="espresso", parent="drinks"),
        Category(name="drinks"),
    ]
    create_memory(
        home, "discs", builtin, read_folder(discs), names, "disc colours",
        templates=["{}", "a drawing of {}"], thumbnails=16,
    )  # fmt: skip
    add_to_memory(home, "discs", builtin, {"grey": [draw("grey", i) for i in range(3)]})
    memory = open_memory(home, "discs")
    black = memory.entries_of(memory.categories.find("black discs"))
    return remove_from_memory(home, "discs", ["blue discs"], [black[0].id])


@pytest.fixture(scope="module")
def exported(memory, tmp_path_factory):
    return export_memory(memory, tmp_path_factory.mktemp("export"))


@pytest.fixture
def copy(exported, tmp_path):
    """The export, to be spoilt."""
    import shutil

    return shutil.copytree(exported, tmp_path / "copy")


def entries_of(memory):
    """All that is known of the entries, by id."""
    rows = memory.entries.live
    fields = memory.entries.fields(rows)
    return {
        int(field["id"]): (
            memory.categories[memory.entries.columns[row]].name,
            int(field["modality"]),
            float(field["length"]),
            float(field["bias"]),
            bytes(field["content"]),
            memory.entries.source(row),
            memory.entries.thumbnail(row),
            memory.entries.vectors(rows[i : i + 1]).tobytes(),
        )
        for i, (row, field) in enumerate(zip(rows.tolist(), fields, strict=True))
    }


def test_round_trip(home, memory, exported, builtin):
    told = []
    again = import_memory(home, "again", exported, lambda *done: told.append(done))
    assert told[-1] == (len(memory.entries), len(memory.entries))
    assert list(again.categories) == list(memory.categories)
    assert entries_of(again) == entries_of(memory)
    assert any(entry[6] for entry in entries_of(again).values())
    kept = ("encoder", "dimension", "domain", "thumbnails", "fixed", "state")
    for field in kept:
        assert getattr(again.manifest, field) == getattr(memory.manifest, field)
    assert verify_memory(home, "again") == []
    queries = builtin.encode_images([draw(colour, 77) for colour in COLOURS])
    norms = np.ones(len(queries), np.float32)
    for method in ("fitted", "knn"):
        before = memory.search(queries, norms, k=8, method=method)
        after = open_memory(home, "again").search(queries, norms, k=8, method=method)
        for one, two in zip(before, after, strict=True):
            assert [c.category for c in one.candidates] == [c.category for c in two.candidates]
            assert [c.probability for c in one.candidates] == pytest.approx(
                [c.probability for c in two.candidates], abs=1e-6
            )
            assert [c.exemplars for c in one.candidates] == [c.exemplars for c in two.candidates]
            assert one.familiarity == two.familiarity
    taught = add_to_memory(home, "again", builtin, {"new": [draw("pink", 5)]})
    assert taught.added == 1


def test_what_was_exported_is_readable_by_others(memory, exported):
    assert sorted(path.name for path in exported.iterdir()) == FILES
    says = json.loads((exported / "memory.json").read_text())
    assert says["format"] == "rar-agent-memory"
    assert says["encoder"]["templates"] == ["{}", "a drawing of {}"]
    for name, file in says["files"].items():
        assert file["sha256"] == hashlib.sha256((exported / name).read_bytes()).hexdigest()
    entries = pq.read_table(exported / "entries.parquet").to_pylist()
    vectors = np.load(exported / "vectors.npy", mmap_mode="r")
    assert vectors.shape == (len(entries), memory.manifest.dimension)
    for row in (0, len(entries) - 1):
        live = memory.entries.row_of(entries[row]["id"])
        assert np.array_equal(memory.entries.vectors(np.array([live]))[0], vectors[row])
        assert entries[row]["source"] == memory.entries.source(live)


def test_a_ready_memory_and_an_empty_one(home, tmp_path, builtin):
    ready = open_memory(home, "imagenet-1k")
    again = import_memory(home, "copied", export_memory(ready, tmp_path / "ready"))
    assert again.manifest.fixed
    assert entries_of(again) == entries_of(ready)
    folder = memory_folder(home, "empty")
    empty = Draft(folder, encoder_record(builtin, ("{}",)), builtin.dimension).commit("ready")
    assert len(import_memory(home, "void", export_memory(empty, tmp_path / "empty")).entries) == 0


def test_many_parts(home, tmp_path, builtin):
    """More rows than are held at once, modalities in turn, and categories without entries."""
    random = np.random.default_rng(0)
    draft = Draft(memory_folder(home, "many"), encoder_record(builtin, ("{}",)), 4)
    numbers = [draft.put(Category(name=f"c{i}")) for i in range(4_600)]
    for modality, count in [("head", 100), ("text", 4_500), ("head", 50), ("text", 1)]:
        rows = random.normal(size=(count, 4))
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        new = [
            NewEntry(numbers[i], text_content(str(i)), f"s{i}", length=2, bias=-i)
            for i in range(count)
        ]
        draft.add_segment(modality, new, rows)
    many = draft.commit("ready")
    again = import_memory(home, "many-again", export_memory(many, tmp_path / "many"))
    assert entries_of(again) == entries_of(many)
    assert list(again.categories) == list(many.categories)


def test_where_not_to_export(memory, exported, tmp_path):
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    with pytest.raises(InputError, match="is not empty"):
        export_memory(memory, exported)
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is no folder"):
        export_memory(memory, tmp_path / "file")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        export_memory(memory, tmp_path / "file" / "below")


def test_where_not_to_import(home, exported, tmp_path):
    with pytest.raises(NotFoundError, match=r"no memory\.json"):
        import_memory(home, "nothing", tmp_path)
    before = open_memory(home, "discs").manifest
    with pytest.raises(InputError, match="exists already"):
        import_memory(home, "discs", exported)
    assert open_memory(home, "discs").manifest == before
    with pytest.raises(InputError, match="cannot name"):
        import_memory(home, "../x", exported)


def signed(folder):
    """Make memory.json agree with the files, as one who forges an export would."""
    says = json.loads((folder / "memory.json").read_text())
    for name, file in says["files"].items():
        data = (folder / name).read_bytes()
        file.update(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    (folder / "memory.json").write_text(json.dumps(says))


def rewrite(name, change):
    """Rows of a table, changed; the schema stays."""

    def spoil(folder):
        table = pq.read_table(folder / name)
        rows = table.to_pylist()
        change(rows)
        schema = pa.schema([pa.field(f.name, f.type) for f in table.schema])
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / name)

    return spoil


def category(**fields):
    return rewrite("categories.parquet", lambda rows: rows[0].update(fields))


def entry(**fields):
    return rewrite("entries.parquet", lambda rows: rows[3].update(fields))


def cycle(rows):
    rows[0]["parent"], rows[1]["parent"] = rows[1]["name"], rows[0]["name"]


def vectors(change):
    def spoil(folder):
        found = np.load(folder / "vectors.npy")
        np.save(folder / "vectors.npy", change(found))

    return spoil


def at(row, value):
    def change(found):
        found[row] = value
        return found

    return vectors(change)


def says(**fields):
    def spoil(folder):
        described = json.loads((folder / "memory.json").read_text())
        (folder / "memory.json").write_text(json.dumps({**described, **fields}))

    return spoil


def other_columns(folder):
    table = pq.read_table(folder / "entries.parquet")
    pq.write_table(
        table.rename_columns(["ID", *table.column_names[1:]]), folder / "entries.parquet"
    )


def other_types(folder):
    table = pq.read_table(folder / "entries.parquet")
    lengths = table.column("length").cast(pa.float64())
    pq.write_table(table.set_column(5, "length", lengths), folder / "entries.parquet")


def pickled(folder):
    np.save(folder / "vectors.npy", np.array([{}], object), allow_pickle=True)


def junk(name):
    return lambda folder: (folder / name).write_bytes(b"\x93NUMPY\x01\x00PAR1" * 9)


FORGED = {
    "two of a name": rewrite("categories.parquet", lambda rows: rows.append(rows[0])),
    "one less": rewrite("categories.parquet", lambda rows: rows.pop()),
    "a cycle": rewrite("categories.parquet", cycle),
    "above itself": category(parent="black discs"),
    "no name": category(name=""),
    "a long name": category(name="x" * 201),
    "metadata are no JSON": category(metadata="{"),
    "metadata are a list": category(metadata="[]"),
    "a hole": category(description=None),
    "a hole within": category(aliases=[None]),
    "unknown category": entry(category="nobody"),
    "unknown modality": entry(modality="sound"),
    "no sha256": entry(content="zz"),
    "negative id": entry(id=-1),
    "a huge id": entry(id=2**63 - 1),
    "an id twice": rewrite("entries.parquet", lambda rows: rows[3].update(id=rows[4]["id"])),
    "no length": entry(length=float("nan")),
    "negative length": entry(length=-1.0),
    "no bias": entry(bias=float("inf")),
    "a hole in the entries": entry(source=None),
    "an entry less": rewrite("entries.parquet", lambda rows: rows.pop()),
    "other columns": other_columns,
    "other types": other_types,
    "not finite": at(5, np.nan),
    "infinite": at((5, 0), np.inf),
    "not of length 1": at(-1, 0.01),
    "of length 0": at(0, 0),
    "a vector less": vectors(lambda found: found[1:]),
    "shorter vectors": vectors(lambda found: found[:, 1:]),
    "flat": vectors(np.ravel),
    "float64": vectors(lambda found: found.astype(np.float64)),
    "big-endian": vectors(lambda found: found.astype(">f4")),
    "Fortran order": vectors(np.asfortranarray),
    "pickled": pickled,
    "no array": junk("vectors.npy"),
    "no table": junk("entries.parquet"),
    "no table of categories": junk("categories.parquet"),
    "another version": says(version=2),
    "another format": says(format="zip"),
    "another dimension": says(dimension=3),
    "other counts": says(entries=1),
    "something more": says(hook="os.system"),
    "other files": says(files={"../../etc/passwd": {"sha256": "0" * 64, "size": 1}}),
    "no files": says(files={}),
    "no encoder": says(encoder={}),
}


@pytest.mark.parametrize("spoil", FORGED.values(), ids=FORGED.keys())
def test_what_makes_no_sense_is_refused_and_leaves_nothing(copy, tmp_path, spoil):
    spoil(copy)
    if set(json.loads((copy / "memory.json").read_text())["files"]) == set(FILES) - {"memory.json"}:
        signed(copy)
    with pytest.raises(DamagedDataError) as caught:
        import_memory(tmp_path, "spoilt", copy)
    assert caught.value.fix
    assert list_memories(tmp_path) == []
    assert not memory_folder(tmp_path, "spoilt").exists()


def test_signing_alone_spoils_nothing(copy, tmp_path, memory):
    rewrite("entries.parquet", lambda rows: None)(copy)
    signed(copy)
    assert entries_of(import_memory(tmp_path, "fine", copy)) == entries_of(memory)


@pytest.mark.parametrize("name", FILES)
def test_a_file_less(copy, tmp_path, name):
    (copy / name).unlink()
    with pytest.raises((DamagedDataError, NotFoundError)):
        import_memory(tmp_path, "spoilt", copy)
    assert list_memories(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
@pytest.mark.parametrize("name", FILES)
def test_files_may_be_links_to_files_and_to_nothing_else(copy, tmp_path, memory, name):
    """As a cache keeps them."""
    kept = (copy / name).rename(tmp_path / "blob")
    (copy / name).symlink_to(kept)
    assert entries_of(import_memory(tmp_path, "linked", copy)) == entries_of(memory)
    kept.unlink()
    os.mkfifo(kept)
    with pytest.raises(DamagedDataError, match="is no regular file"):
        import_memory(tmp_path, "spoilt", copy)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(FILES), st.floats(0, 1, exclude_max=True), st.integers(1, 255), st.booleans()
)
def test_any_change_of_a_byte_is_noticed(exported, tmp_path_factory, name, place, flip, cut):
    import shutil

    folder = tmp_path_factory.mktemp("flipped")
    copy = shutil.copytree(exported, folder / "copy")
    data = bytearray((copy / name).read_bytes())
    at = int(place * len(data))
    data[at] ^= flip
    (copy / name).write_bytes(data[:at] if cut else data)
    if name == "memory.json" and not cut:
        # A changed word of the description, such as the domain, is another valid description.
        try:
            import_memory(folder, "spoilt", copy)
        except DamagedDataError:
            assert list_memories(folder) == []
        return
    with pytest.raises(DamagedDataError):
        import_memory(folder, "spoilt", copy)
    assert list_memories(folder) == []


def test_without_pyarrow(memory, exported, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError, match=r"rar-agent\[data\]"):
        export_memory(memory, tmp_path / "x")
    with pytest.raises(ConfigurationError, match=r"rar-agent\[data\]"):
        import_memory(tmp_path, "x", exported)
    assert not (tmp_path / "x").exists()
    assert not memory_folder(tmp_path, "x").exists()


def test_a_branch_with_a_description_comes_back_as_one(tmp_path):
    draft = begin(tmp_path / "memories" / "m")
    robin = draft.put(Category(name="robin", parent="songbirds"))
    draft.put(Category(name="songbirds", parent="birds", description="They sing."))
    draft.add_segment("image", [NewEntry(robin, text_content("0"), "0.jpg")], drawn(0, 1))
    memory = draft.commit("ready")
    export_memory(memory, tmp_path / "out")
    again = import_memory(tmp_path, "again", tmp_path / "out")
    assert list(again.categories) == list(memory.categories)
    assert again.category_count == memory.category_count == 1


def test_data_frames(memory):
    pytest.importorskip("pandas", reason="the extra 'data' is not installed")
    categories = to_dataframe(memory)
    assert categories["name"].tolist() == [c.name for c in memory.categories]
    red = categories[categories["name"] == "red discs"].iloc[0]
    assert red["aliases"] == ["rosso", "Müller's"]
    assert red["metadata"] == {"n": [1, {"é": None}], "x": 1.5}
    assert (red["images"], red["texts"], red["heads"]) == (6, 1, 0)
    assert int(categories["images"].sum()) == memory.image_count
    entries = to_dataframe(memory, "entries")
    assert entries["id"].tolist() == memory.entries.ids.tolist()
    assert entries.groupby("modality").size().to_dict() == {
        "image": memory.image_count,
        "text": int(memory.entries.counts("text").sum()),
    }
    known = entries_of(memory)
    for row in entries.itertuples():
        assert (row.category, row.source) == (known[row.id][0], known[row.id][5])
        assert bytes.fromhex(row.content) == known[row.id][4]
    with pytest.raises(InputError, match="'vectors'"):
        to_dataframe(memory, "vectors")


def test_without_pandas(memory, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError, match=r"pandas is not installed.*rar-agent\[data\]"):
        to_dataframe(memory)
