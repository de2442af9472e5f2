import csv
import datetime as dt
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.errors import ConfigurationError, InputError
from rar_agent.images import admit
from rar_agent.memory.readers import TableReader
from rar_agent.memory.readers.rows import LONGEST_LINE
from tests.memory.readers.pictures import learnt, png, read


def parquet():
    pytest.importorskip("pyarrow", reason="the extra 'data' is not installed")
    import pyarrow.parquet

    return pyarrow


def write(path, rows):
    """Rows, dicts with the same keys, as a table of the format that the suffix says."""
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            delimiter = "," if path.suffix == ".csv" else "\t"
            table = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            table.writeheader()
            for row in rows:
                table.writerow(
                    {k: ";".join(v) if isinstance(v, list) else v for k, v in row.items()}
                )
    elif path.suffix == ".parquet":
        pa = parquet()
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def images(tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(4):
        (tmp_path / "photos" / f"{i}.png").write_bytes(png(i))
    return tmp_path


ROWS = [
    {"image": "photos/0.png", "category": "robin", "aliases": ["redbreast", "ruddock"]},
    {"image": "photos/1.png", "category": "wren", "aliases": []},
    {"image": "", "category": "dunnock", "aliases": []},
    {"image": "https://example.org/2.png", "category": "robin", "aliases": ["Robin"]},
]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"])
def test_a_row_an_image(images, suffix):
    reader = TableReader(write(images / f"birds{suffix}", ROWS))
    samples, failures = read(reader)
    assert not failures
    assert [s.category.name for s in samples] == ["robin", "wren", "dunnock", "robin"]
    assert [s.image for s in samples] == [
        images / "photos" / "0.png",
        images / "photos" / "1.png",
        None,
        "https://example.org/2.png",
    ]
    assert samples[0].source == str(images / "photos" / "0.png")
    assert samples[2].source.startswith(str(images / f"birds{suffix}"))
    assert samples[3].source == "https://example.org/2.png"
    assert {s.category.aliases for s in samples if s.category.name == "robin"} == {
        ("redbreast", "ruddock", "Robin")
    }
    assert reader.count == 3
    assert admit(samples[1].image).rgb.getpixel((0, 0)) == (1, 0, 77)
    assert list(reader.samples()) == samples


words = st.text(st.characters(codec="utf-8", exclude_characters=";\0"), max_size=8).map(
    lambda text: text.strip()
)
rows_of_text = st.fixed_dictionaries(
    {
        "image": st.sampled_from(["", "a.png", "b/c d.png", "https://example.org/é.png"]),
        "category": st.one_of(st.sampled_from(["a", "b"]), words),
        "aliases": st.lists(words.filter(bool), max_size=3),
        "description": st.sampled_from(["", "", "one", "two, three"]),
        "parent": st.sampled_from(["", "", "birds", 'the "birds"']),
        "photographer": words.map("by {}".format),  # a row of nothing is no row of CSV
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows_of_text, min_size=1, max_size=8))
def test_formats_say_the_same(rows):
    parquet()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".csv", ".tsv", ".jsonl", ".parquet"):
            reader = TableReader(write(Path(folder) / f"t{suffix}", rows))
            samples, failures = read(reader)
            assert reader.count == sum(s.image is not None for s in samples)
            assert (samples, failures) == read(reader)
            found[suffix] = [(s.category, s.image) for s in samples], [f.error for f in failures]
    assert found[".csv"] == found[".tsv"] == found[".jsonl"] == found[".parquet"]
    samples, failures = found[".csv"]
    assert len(samples) + len(failures) == len(rows)
    for category, _ in samples:  # what is said of a category is said with each of its images
        assert len({c.model_dump_json() for c, _ in samples if c.name == category.name}) == 1


def test_details_add_up_wherever_they_stand(tmp_path):
    rows = [
        {"image": "1.png", "category": "robin", "description": "", "parent": "birds", "n": ""},
        {"image": "2.png", "category": "robin", "description": "red", "parent": "", "n": "x"},
        {"image": "3.png", "category": "robin", "description": "red", "parent": "birds", "n": "y"},
    ]
    samples, failures = read(TableReader(write(tmp_path / "t.csv", rows)))
    assert not failures
    for sample in samples:
        assert sample.category.description == "red"
        assert sample.category.parent == "birds"
        assert sample.category.metadata == {"n": "x"}


@pytest.mark.parametrize("detail", ["description", "parent"])
def test_rows_that_contradict_the_first_are_failures(tmp_path, detail):
    rows = [
        {"image": "1.png", "category": "robin", detail: ""},
        {"image": "2.png", "category": "robin", detail: "red"},
        {"image": "3.png", "category": "robin", detail: "blue"},
        {"image": "4.png", "category": "wren", detail: "blue"},
    ]
    reader = TableReader(write(tmp_path / "t.csv", rows))
    samples, [failure] = read(reader)
    assert [Path(s.source).name for s in samples] == ["1.png", "2.png", "4.png"]
    assert failure.source == f"{tmp_path / 't.csv'}:4"
    assert failure.kind == "InputError"
    assert f"has the {detail} 'blue' here, but 'red' before" in failure.error
    assert reader.count == 3


def test_columns_are_found_by_their_usual_names(tmp_path):
    for image in ("image", "path", "file_name", "url", "Image", " PATH "):
        for category in ("category", "label", "name", "class", "Label"):
            path = write(tmp_path / "t.jsonl", [{image: "1.png", category: "robin"}])
            assert learnt(TableReader(path)) == [("robin", tmp_path / "1.png")]


def test_a_local_file_is_taken_before_its_url(tmp_path):
    row = {"url": "https://example.org/1.png", "file_name": "1.png", "label": "a", "name": "n"}
    [sample], _ = read(TableReader(write(tmp_path / "t.jsonl", [row])))
    assert sample.image == tmp_path / "1.png"
    assert sample.category.name == "a"
    assert sample.category.metadata == {"url": "https://example.org/1.png", "name": "n"}


def test_metadata(tmp_path):
    metadata = {"red list": "LC", "sizes": [1, 2.5], "deep": {"er": True}, "nothing": None}
    row = {"category": "robin", "metadata": metadata, "wings": 2, "empty": "", "nan": float("nan")}
    [sample], _ = read(TableReader(write(tmp_path / "t.jsonl", [row])))
    plain = {"red list": "LC", "sizes": [1, 2.5], "deep": {"er": True}}
    assert sample.category.metadata == {"wings": 2, **plain}
    row = {"category": "robin", "metadata": json.dumps(metadata), "wings": "2"}
    [sample], _ = read(TableReader(write(tmp_path / "t.csv", [row])))
    assert sample.category.metadata == {"wings": "2", **plain}
    for wrong in ("{", "[1]", "3"):
        row = {"category": "robin", "metadata": wrong}
        _, [failure] = read(TableReader(write(tmp_path / "t.csv", [row])))
        assert "'metadata' is" in failure.error
    deep = value = {}
    for _ in range(30):
        value["more"] = value = {}
    _, [failure] = read(TableReader(write(tmp_path / "t.jsonl", [{"name": "a", "metadata": deep}])))
    assert "nested" in failure.error


def test_parquet_keeps_structs_lists_dates_and_embedded_images(tmp_path):
    pa = parquet()
    table = pa.table(
        {
            "image": [{"bytes": png(5), "path": "5.png"}, {"bytes": None, "path": "6.png"}, None],
            "label": ["robin", "robin", "wren"],
            "aliases": [["redbreast"], None, []],
            "metadata": [{"seen": dt.date(2024, 5, 1)}, None, {"seen": None}],
        }
    )
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    reader = TableReader(tmp_path / "t.parquet")
    samples, failures = read(reader)
    assert not failures
    assert [s.image for s in samples] == [png(5), tmp_path / "6.png", None]
    assert samples[0].source == f"{tmp_path / 't.parquet'}[0]"
    assert samples[0].category.aliases == ("redbreast",)
    assert samples[1].category.metadata == {"seen": "2024-05-01"}
    assert samples[2].category.metadata == {}
    assert reader.count == 2


def test_many_parquet_rows_stay_in_order(tmp_path):
    rows = [{"image": f"{i}.png", "name": f"c{i % 7}"} for i in range(500)]
    reader = TableReader(write(tmp_path / "t.parquet", rows))
    assert learnt(reader) == [(f"c{i % 7}", tmp_path / f"{i}.png") for i in range(500)]


def test_a_class_number_is_no_name(tmp_path):
    rows = [{"image": "1.png", "label": 3}, {"image": "2.png", "label": "3"}]
    reader = TableReader(write(tmp_path / "t.jsonl", rows))
    assert learnt(reader) == [("3", tmp_path / "2.png")]
    assert "'label' is the number 3" in read(reader)[1][0].error


def test_malformed_lines_of_json_are_failures_in_their_place(tmp_path):
    path = tmp_path / "t.jsonl"
    lines = [
        b'\xef\xbb\xbf{"image": "1.png", "category": "a"}',
        b'{"image": "2.png", "category": ',
        b"",
        b"[1, 2]",
        b'{"image": "3.png"}',
        b'{"image": "3.png", "category": null}',
        b'{"image": "3.png", "category": "' + b"x" * 201 + b'"}',
        b'{"image": 3, "category": "a"}',
        b'{"image": "s3://bucket/1.png", "category": "a"}',
        b'{"image": "4.png", "category": 1.5}',
        b'{"image": "4.png", "category": "a", "aliases": [["b"]]}',
        b'{"image": "4.png", "category": "\xff"}',
        b"[" * 100_000,
        b'{"image": "5.png", "category": "\\ud800b"}',
    ]
    path.write_bytes(b"\n".join(lines))
    reader = TableReader(path)
    samples, failures = read(reader)
    assert learnt(reader) == [("a", tmp_path / "1.png"), ("?b", tmp_path / "5.png")]
    assert reader.count == len(samples) == 2
    assert [int(f.source.rpartition(":")[2]) for f in failures] == [2, *range(4, 14)]
    says = "not JSON|is a list|no category|is empty|200 characters|is a int"
    says += "|no address|not text|not text|not JSON|not JSON"
    for failure, reason in zip(failures, says.split("|"), strict=True):
        assert reason in failure.error


def test_a_line_without_end_is_passed_over(tmp_path):
    path = tmp_path / "t.jsonl"
    with path.open("wb") as file:
        file.write(b'{"category": "a"}\n{"category": "')
        for _ in range(LONGEST_LINE // 1_000_000 * 3):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n{"category": "b"}\n')
    samples, [failure] = read(TableReader(path))
    assert [(s.category.name, s.source) for s in samples] == [
        ("a", f"{path}:1"),
        ("b", f"{path}:3"),
    ]
    assert failure.source == f"{path}:2"
    assert "longer than" in failure.error


def test_malformed_rows_of_csv_are_failures_in_their_place(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(
        b"\xef\xbb\xbfimage,category,description\r\n"
        b'1.png,robin,"red,\nround"\r\n'
        b"2.png,robin,red,round\r\n"
        b"\r\n,,\r\n"
        b"3.png\r\n"
        b"4.png,caf\xe9,\r\n"
        b"5.png,wren," + b"x" * (csv.field_size_limit() + 1) + b"\r\n"
        b"6.png,wren,small\r\n"
    )
    reader = TableReader(path)
    samples, failures = read(reader)
    assert [s.category.name for s in samples] == ["robin", "wren"]
    assert samples[0].category.description == "red,\nround"
    assert [int(f.source.rpartition(":")[2]) for f in failures] == [4, 7, 8, 9]
    for failure, says in zip(
        failures, ["4 cells, the header 3", "is empty", "not UTF-8", "field larger"], strict=True
    ):
        assert says in failure.error
    assert reader.count == 2


def test_damaged_parquet(tmp_path):
    pa = parquet()
    path = tmp_path / "t.parquet"
    path.write_bytes(b"no Parquet at all")
    with pytest.raises(InputError, match="cannot be read"):
        TableReader(path).count  # noqa: B018
    text = pa.array(["a", "b", "c"])
    bad = pa.StringArray.from_buffers(3, text.buffers()[1], pa.py_buffer(b"a\xffc"))
    pa.parquet.write_table(pa.table({"image": ["1", "2", "3"], "category": bad}), path)
    samples, [failure] = read(TableReader(path))
    assert [s.category.name for s in samples] == ["a", "c"]
    assert failure.source == f"{path}[1]"


def test_damaged_rows_of_parquet_do_not_end_the_next(tmp_path):
    pa = parquet()
    path = tmp_path / "t.parquet"
    table = pa.table({"image": [f"{i}.png" for i in range(300)], "category": ["a"] * 300})
    pa.parquet.write_table(table, path, row_group_size=100, use_dictionary=False)
    column = pa.parquet.ParquetFile(path).metadata.row_group(1).column(0)
    damaged = bytearray(path.read_bytes())
    start = column.data_page_offset
    damaged[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(damaged)
    reader = TableReader(path)
    samples, [failure] = read(reader)
    assert [Path(s.source).stem for s in samples] == [str(i) for i in range(300) if i // 100 != 1]
    assert reader.count == 200
    assert failure.source == f"{path}[100]"
    assert "Rows 100 to 199 cannot be read" in failure.error


def test_parquet_is_not_held_in_memory(tmp_path):
    pa = parquet()
    schema = pa.schema([("image", pa.binary()), ("label", pa.string())])
    with pa.parquet.ParquetWriter(tmp_path / "t.parquet", schema) as file:
        for _ in range(30):
            images = [os.urandom(10_000) for _ in range(100)]
            file.write_table(pa.table({"image": images, "label": ["a"] * 100}, schema=schema))
        del images
    before = pa.total_allocated_bytes()
    reader = TableReader(tmp_path / "t.parquet")
    held = [pa.total_allocated_bytes() - before for _ in reader.samples()]
    assert len(held) == 3_000
    assert max(held) < 10_000_000  # of 30,000,000


def test_tables_that_cannot_be_understood(tmp_path):
    with pytest.raises(InputError, match="is no table that is read"):
        TableReader(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match="is not a file"):
        TableReader(tmp_path / "t.csv")
    path = tmp_path / "t.csv"
    for content, says in [
        (b"", "has no rows"),
        (b"image,category\n", "has no rows"),
        (b"image,species\n1.png,robin\n", "columns are image, species"),
        (b"image;category\n1.png;robin\n", "columns are image;category"),
        (b"image,category,category\n1,2,3\n", "two columns 'category'"),
        ("image,category\n1.png,robin\n".encode("utf-16"), "not UTF-8"),
        (b"x" * (csv.field_size_limit() + 1), "cannot be read"),
    ]:
        path.write_bytes(content)
        with pytest.raises(InputError, match=says):
            next(TableReader(path).samples())
    rows = [{"image": "1.png", "species": "robin"}, {"file": "2.png"}]
    path = write(tmp_path / "t.jsonl", rows)
    with pytest.raises(InputError, match="columns are image, species, file"):
        TableReader(path).count  # noqa: B018


def test_a_table_that_is_gone(tmp_path):
    reader = TableReader(write(tmp_path / "t.csv", [{"category": "a"}]))
    reader.path.unlink()
    with pytest.raises(InputError, match="cannot be read: No such file"):
        next(reader.samples())
    with pytest.raises(InputError, match="cannot be read: No such file"):
        reader.identity  # noqa: B018


def test_a_changed_table_is_another(tmp_path):
    path = write(tmp_path / "t.csv", [{"image": "1.png", "category": "a"}])
    before = TableReader(path).identity
    os.utime(path, ns=(1, 1))
    assert TableReader(path).identity == before
    write(path, [{"image": "1.png", "category": "b"}])
    assert TableReader(path).identity != before


def test_the_same_lines_in_another_folder_are_another_table(tmp_path):
    tables = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        tables.append(TableReader(write(tmp_path / name / "t.csv", ROWS)))
    assert tables[0].identity != tables[1].identity == TableReader(tables[1].path).identity


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    path = write(tmp_path / "t.parquet", [{"category": "a"}])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rar-agent\[data\]'"):
        next(TableReader(path).samples())


def test_a_relative_table_is_found_from_anywhere(images, monkeypatch):
    write(images / "t.csv", ROWS)
    monkeypatch.chdir(images)
    reader = TableReader(Path("t.csv"))
    monkeypatch.chdir("/")
    assert learnt(reader)[0] == ("robin", images / "photos" / "0.png")
