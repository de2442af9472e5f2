"""Annotation files: what LVIS, V3Det and COCO publish becomes categories, whatever the order."""

import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.errors import InputError
from rar_agent.memory.readers import (
    AnnotationsReader,
    NamesReader,
    annotations,
    names_reader,
    read_categories,
    read_names,
)
from rar_agent.types import Category

LVIS = [
    {
        "id": 2,
        "name": "bow_(decorative_ribbons)",
        "synset": "bow.n.08",
        "synonyms": ["bow_(decorative_ribbons)", "hair_bow"],
        "def": "a decorative interlacing of ribbons",
        "frequency": "f",
        "image_count": 2119,
        "instance_count": 4061,
    },
    {"id": 1, "name": "alarm_clock", "synonyms": ["alarm_clock"], "def": "", "frequency": "c"},
]


def written(place, categories, name="set.json", **more):
    file = place / name
    whole = {"info": {}, "images": [], "annotations": [{"id": 1}], "categories": categories, **more}
    file.write_text(json.dumps(whole), encoding="utf-8")
    return file


def test_lvis(tmp_path):
    clock, bow = read_categories(written(tmp_path, LVIS))
    assert clock == Category(name="alarm_clock", metadata={"id": 1, "frequency": "c"})
    assert bow == Category(
        name="bow_(decorative_ribbons)",
        aliases=("hair bow",),
        description="a decorative interlacing of ribbons",
        metadata={
            "id": 2,
            "synset": "bow.n.08",
            "frequency": "f",
            "image_count": 2119,
            "instance_count": 4061,
        },
    )


def test_coco_and_v3det(tmp_path):
    coco = [
        {"id": 1, "name": "person", "supercategory": "person"},
        {"id": 2, "name": "bicycle", "supercategory": "vehicle"},
    ]
    assert [c.parent for c in read_categories(written(tmp_path, coco))] == ["", "vehicle"]
    v3det = {"id": 7, "name": "ash tray", "name_zh": "烟灰缸", "novel": False}
    for info, gpt, said in (
        ("For ash.", "Generated.", "For ash."),
        (["For ash.", "More."], [], "For ash."),
        ([], ["Generated."], "Generated."),
        (None, "", ""),
    ):
        record = {**v3det, "cat_info": info, "cat_info_gpt": gpt}
        [found] = read_categories(written(tmp_path, [record]))
        assert found.description == said
        assert found.metadata == {"id": 7, "name_zh": "烟灰缸", "novel": False}


def test_a_bare_list_of_categories(tmp_path):
    file = tmp_path / "lvis_v1_train_cat_info.json"
    file.write_text("\ufeff" + json.dumps(LVIS), encoding="utf-8")
    assert [c.name for c in read_names(file)] == ["alarm_clock", "bow_(decorative_ribbons)"]


def test_a_bare_list_of_names(tmp_path):
    file = tmp_path / "names.json"
    file.write_text('[\n "wren", "alarm_clock"]', encoding="utf-8")
    assert read_names(file) == [Category(name="wren"), Category(name="alarm_clock")]
    assert [one.category.name for one in names_reader(file).samples()] == ["wren", "alarm_clock"]


def test_the_content_says_what_a_file_is(tmp_path):
    named = tmp_path / "names.json"  # whatever it is called
    named.write_text("[sic] a name\nrobin\n", encoding="utf-8")
    assert isinstance(names_reader(named), NamesReader)
    listed = written(tmp_path, LVIS, name="names.txt")
    assert isinstance(names_reader(listed), AnnotationsReader)
    assert names_reader(listed).count == 0
    sources = [sample.source for sample in names_reader(listed).samples()]
    assert sources == [f"{listed}#1", f"{listed}#2"]
    with pytest.raises(InputError, match="a list without any"):
        names_reader(named, tmp_path / "tree.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"categories": [', "not JSON"),
        ('{"images": []}', "no list of 'categories'"),
        ('{"categories": {"1": "robin"}}', "no list of 'categories'"),
        ('{"categories": ["robin"]}', "no list of 'categories'"),
        ('{"categories": []}', "lists no category"),
        ('{"categories": [{"id": 3}]}', "item 1 of 1 has no 'name'"),
        ('{"categories": [{"name": "a", "id": 3}, {"name": "b", "id": 3}]}', "the id 3"),
        ('{"categories": [{"name": "a", "id": 3}, {"name": "b", "id": "3"}]}', "the id 3"),
        ('{"categories": [{"name": "a"}, {"name": "a"}]}', "'a'"),
        ('["robin", "wren", "robin"]', "'robin'"),
        ('["robin", 3]', "no list of 'categories'"),
        ('{"categories": [{"name": ["a"]}]}', "'name' is a list"),
        ('{"categories": [{"name": "' + "x" * 201 + '"}]}', "200 characters"),
        ("[" * 100_000, "no names|not JSON|200 characters"),
    ],
)
def test_what_is_wrong_is_said_at_once(tmp_path, text, says):
    file = tmp_path / "set.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        names_reader(file)


records = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(0, 10_000), "name": st.text(min_size=1, max_size=12)},
        optional={
            "synonyms": st.lists(st.text(max_size=8), max_size=3),
            "def": st.text(max_size=20),
            "image_count": st.integers(0, 10**9),
        },
    ).filter(lambda one: one["name"].strip().isprintable() and one["name"].strip()),
    min_size=1,
    max_size=8,
    unique_by=lambda one: one["id"],
)


@settings(max_examples=60, deadline=None)
@given(records, st.randoms(use_true_random=False), st.booleans())
def test_any_order_any_names(tmp_path_factory, listed, random, ascii_only):
    """Each category once, in the order of ids, with its own count; repeats are told apart."""
    place = tmp_path_factory.getbasetemp()
    shuffled = random.sample(listed, len(listed))
    found = []
    for at, given_ in enumerate((listed, shuffled)):
        file = place / f"{at}.json"
        whole = {"categories": given_, "images": []}
        whole = whole if at else dict(reversed(whole.items()))
        file.write_text(
            json.dumps(whole, ensure_ascii=ascii_only), encoding="utf-8", errors="replace"
        )
        found.append(read_categories(file))
    by_id = sorted(listed, key=lambda one: one["id"])
    assert [one.metadata["id"] for one in found[0]] == [one["id"] for one in by_id]
    assert len({one.name for one in found[0]}) == len(listed)
    if ascii_only:
        assert found[0] == found[1]
        met = set()
        for one, category in zip(by_id, found[0], strict=True):
            name = category.name
            assert name in (one["name"].strip(), f"{one['name'].strip()} ({one['id']})")
            assert (name != one["name"].strip()) == (one["name"].strip() in met)
            assert category.metadata.get("image_count") == one.get("image_count")
            met.add(name)


def test_a_large_file_is_read_by_its_categories_alone(tmp_path, monkeypatch):
    pytest.importorskip("ijson")
    whole = read_categories(written(tmp_path, LVIS))
    monkeypatch.setattr(annotations, "WHOLE", 0)
    file = written(tmp_path, LVIS)
    assert read_categories(file) == whole
    # what comes after the categories is not read
    file.write_text(json.dumps({"categories": LVIS})[:-1] + ', "annotations": [', encoding="utf-8")
    assert read_categories(file) == whole
    file.write_text(json.dumps(LVIS), encoding="utf-8")
    assert read_categories(file) == whole
    for text in ('{"images": []}', '{"categories": [{"na'):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=r"not JSON|no list"):
            read_categories(file)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + json.dumps({"images": [], "categories": LVIS}),
        "\ufeff \n" + json.dumps(LVIS),
        '["wren", "robin"]',
        '{"x": [{"area": NaN, "bbox": [-Infinity, Infinity]}], "categories": [{"name": "a"}]}',
        '{"x": "\\\\", "y": "\\"NaN", "categories": [{"name": "NaN, -Infinity", "z": NaN}]}',
        "[" * 50 + "]" * 50,
        '{"x": ' + "[" * 100_000 + "]" * 100_000 + ', "categories": [{"name": "a"}]}',
        '{"x": "' + "[" * 100_000 + '", "categories": [{"name": "a"}]}',
        '{"x": ' + "[" + "[[]]," * 30_000 + '[]], "categories": [{"name": "a"}]}',
    ],
    ids=["bom", "bom list", "names", "nan", "nan told", "lists", "deep", "as text", "many"],
)
def test_a_large_file_is_read_like_a_small_one(tmp_path, monkeypatch, text):
    pytest.importorskip("ijson")
    file = tmp_path / "set.json"
    file.write_text(text, encoding="utf-8")

    def told():
        try:
            return read_categories(file)
        except InputError as error:
            return str(error).partition(":")[0]

    small = told()
    monkeypatch.setattr(annotations, "WHOLE", 0)
    assert told() == small


plain = st.recursive(
    st.none() | st.floats() | st.text('"\\N[{anI-', max_size=9) | st.just("-Infinity"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@given(plain, st.integers(1, 40))
def test_what_is_no_number_is_null_wherever_a_part_ends(found, size):
    strict = annotations._Strict(io.BytesIO(json.dumps(found).encode()))
    parts = b"".join(iter(lambda: strict.read(size), b""))
    known = json.loads(json.dumps(found), parse_constant=lambda _: None)
    assert json.loads(parts, parse_constant=pytest.fail) == known


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[1, 2, 3, 4]]", "is JSON that lists no categories and no names"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4]}]', "item 1 of 1 has no 'name'"),
    ],
)
def test_boxes_are_no_names(tmp_path, text, says):
    file = tmp_path / "boxes.json"
    file.write_text(text)
    with pytest.raises(InputError, match=re.escape(says)):
        list(names_reader(file).samples())
