import gzip
import io
import json
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.errors import InputError
from rar_agent.images import admit
from rar_agent.memory.readers import Sample, ShardReader
from rar_agent.types import Failure
from tests.memory.readers.pictures import learnt, png, read


def tar(path, members, mode="w", form=tarfile.PAX_FORMAT):
    """A tar of (name, bytes), or of TarInfo as they are."""
    with tarfile.open(path, mode, format=form) as file:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                file.addfile(member)
                continue
            name, data = member
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def packed(members):
    """The bytes of a tar."""
    with tempfile.TemporaryDirectory() as folder:
        return tar(Path(folder) / "t.tar", members).read_bytes()


BIRDS = [
    ("0001.png", png(1)),
    ("0001.cls", b"robin\n"),
    ("0002.cls", b"wren"),
    ("0002.png", png(2)),
    ("b/0001.png", png(3)),
    ("b/0001.json", b'{"label": "robin", "parent": "birds", "seen": 2024}'),
]


@pytest.mark.parametrize(("name", "mode"), [("t.tar", "w"), ("t.tar.gz", "w:gz")])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_consecutive_members_are_a_sample(tmp_path, name, mode, form):
    path = tar(tmp_path / name, BIRDS, mode, form)
    reader = ShardReader(path)
    samples, failures = read(reader)
    assert not failures
    assert learnt(reader) == [("robin", png(1)), ("wren", png(2)), ("robin", png(3))]
    assert [s.source for s in samples] == [
        f"{path}/{key}.png" for key in ("0001", "0002", "b/0001")
    ]
    assert samples[2].category.parent == "birds"
    assert samples[2].category.metadata == {"seen": 2024}
    assert reader.count is None
    assert admit(samples[1].image).rgb.getpixel((0, 0)) == (2, 0, 77)
    assert os.listdir(tmp_path) == [name]  # noqa: PTH208 - and nothing was extracted


def test_long_and_odd_names(tmp_path):
    long = "deep/" * 40 + "x" * 120
    members = [
        (f"{long}.png", png(1)),
        (f"{long}.txt", b"a"),
        ("é ö.PNG", png(2)),
        ("é ö.txt", b"b"),
    ]
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        path = tar(tmp_path / "t.tar", members, form=form)
        assert learnt(ShardReader(path)) == [("a", png(1)), ("b", png(2))]


@pytest.mark.parametrize(
    ("members", "category"),
    [
        ([("k.json", b'{"category": "a", "label": "b"}'), ("k.cls", b"c")], "a"),
        ([("k.json", b'{"description": "d"}'), ("k.cls", b"c")], "c"),
        ([("k.json", b'"a"')], "a"),
        ([("k.json", b"1")], "one"),
        ([("k.json", b'{"class": 0}')], "zero"),
        ([("k.json", b'{"class": "0"}')], "0"),
        ([("k.txt", b"a caption"), ("k.cls", b"1")], "one"),
        ([("k.label", b"\xef\xbb\xbf 1\n")], "one"),
        ([("k.txt", b"a caption")], "a caption"),
    ],
)
def test_where_the_category_is_said(tmp_path, members, category):
    path = tar(tmp_path / "t.tar", [("k.png", png(1)), *members])
    assert learnt(ShardReader(path, names=["zero", "one"])) == [(category, png(1))]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([("k.png", png(1))], "no category"),
        ([("k.png", png(1)), ("k.json", b"{}")], "no category"),
        ([("k.png", png(1)), ("k.json", b"{")], "not JSON"),
        ([("k.png", png(1)), ("k.json", b"[" * 100_000)], "not JSON"),
        ([("k.png", png(1)), ("k.json", b"[]")], "not text"),
        ([("k.png", png(1)), ("k.json", b'{"label": true}')], "not text"),
        ([("k.png", png(1)), ("k.cls", b"\xff")], "not UTF-8"),
        ([("k.png", png(1)), ("k.cls", b"x" * 201)], "200 characters"),
        ([("k.png", png(1)), ("k.cls", b"x" * 1_000_001)], "1,000,001 bytes"),
        ([("k.png", png(1)), ("k.cls", b"2")], "number 2; there are 2 names"),
        ([("k.png", png(1)), ("k.cls", b"-1")], "number -1; there are 2 names"),
        ([("k.png", b""), ("k.cls", b"a")], "empty"),
        ([("k.png", png(1) + b" " * 5_000), ("k.cls", b"a")], "over the limit"),
        ([("k.npy", b"1"), ("k.cls", b"a")], "no image"),
    ],
)
def test_a_bad_sample_is_a_failure_in_its_place(tmp_path, members, says):
    good = [("l.png", png(2)), ("l.cls", b"good")]
    path = tar(tmp_path / "t.tar", [("j.png", png(3)), ("j.cls", b"good"), *members, *good])
    reader = ShardReader(path, names=["zero", "one"], max_bytes=5_000)
    first, failure, last = reader.samples()
    assert isinstance(first, Sample)
    assert isinstance(last, Sample)
    assert isinstance(failure, Failure)
    assert says in failure.error
    assert failure.source.startswith(f"{path}/k")


def test_contradictions_are_failures_and_details_add_up(tmp_path):
    def told(key, **said):
        return [(f"{key}.png", png(1)), (f"{key}.json", json.dumps(said).encode())]

    members = [
        *told("1", name="robin"),
        *told("2", name="robin", description="red"),
        *told("3", name="robin", description="blue"),
        *told("4", name="robin", aliases=["redbreast"]),
    ]
    samples, [failure] = read(ShardReader(tar(tmp_path / "t.tar", members)))
    assert [s.category.description for s in samples] == ["", "red", "red"]
    assert samples[2].category.aliases == ("redbreast",)
    assert "'blue' here, but 'red' before" in failure.error


def test_of_several_images_the_plain_one(tmp_path):
    members = [("k.seg.png", png(1)), ("k.png", png(2)), ("k.depth.png", png(3)), ("k.cls", b"a")]
    assert learnt(ShardReader(tar(tmp_path / "t.tar", members))) == [("a", png(2))]
    members = [("k.photo.png", png(1)), ("k.seg.png", png(2)), ("k.cls", b"a")]
    assert learnt(ShardReader(tar(tmp_path / "t.tar", members))) == [("a", png(1))]


def test_a_key_that_comes_again_is_another_sample(tmp_path):
    members = [("k.png", png(1)), ("k.cls", b"a"), ("k.png", png(2)), ("k.cls", b"b")]
    assert learnt(ShardReader(tar(tmp_path / "t.tar", members))) == [("a", png(1)), ("b", png(2))]


def test_what_is_no_part_of_a_sample_is_passed_over(tmp_path):
    link = tarfile.TarInfo("l.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard = tarfile.TarInfo("h.png")
    hard.type, hard.linkname = tarfile.LNKTYPE, "0001.png"
    device = tarfile.TarInfo("d.png")
    device.type = tarfile.CHRTYPE
    folder = tarfile.TarInfo("f.png")
    folder.type = tarfile.DIRTYPE
    others = [("README.md", b"birds"), ("LICENSE", b""), ("._0001.png", b"Apple"), (".png", b"")]
    path = tar(tmp_path / "t.tar", [link, hard, device, folder, *others, *BIRDS])
    samples, failures = read(ShardReader(path))
    assert [s.category.name for s in samples] == ["robin", "wren", "robin"]
    assert not failures


def test_class_numbers_need_names(tmp_path):
    path = tar(tmp_path / "t.tar", [("k.png", png(1)), ("k.cls", b"3")])
    with pytest.raises(InputError, match=r"the number 3\. Give the categories' names"):
        next(ShardReader(path).samples())


def test_shards_are_read_in_order_each_once(tmp_path):
    for i in (2, 0, 1):
        tar(tmp_path / f"train-{i}.tar", [("k.png", png(i)), ("k.cls", b"a")])
    (tmp_path / "train-x.tar").mkdir()
    for patterns in (
        str(tmp_path / "train-*.tar"),
        tmp_path / "train-*.tar",
        [tmp_path / "train-0.tar", str(tmp_path / "train-[01].tar"), tmp_path / "train-2.tar"],
    ):
        reader = ShardReader(patterns)
        assert learnt(reader) == [("a", png(i)) for i in range(3)]
        assert list(reader.samples()) == list(reader.samples())
    assert learnt(ShardReader([tmp_path / f"train-{i}.tar" for i in (1, 0)])) == [
        ("a", png(1)),
        ("a", png(0)),
    ]
    with pytest.raises(InputError, match="matches no file"):
        ShardReader(str(tmp_path / "test-*.tar"))
    with pytest.raises(InputError, match="No shard is named"):
        ShardReader([])


def test_a_damaged_shard_does_not_end_the_next(tmp_path):
    whole = packed(BIRDS)
    (tmp_path / "1.tar").write_bytes(whole[:3_000])
    (tmp_path / "2.tar").write_bytes(b"")
    (tmp_path / "3.tar").write_bytes(b"no tar at all" * 100)
    (tmp_path / "4.tar").write_bytes(b"\x1f\x8bno gzip at all")
    (tmp_path / "5.tar").write_bytes(whole)
    items = list(ShardReader(tmp_path / "*.tar").samples())
    kinds = [type(item) for item in items]
    assert kinds == [Sample, *[Failure] * 4, *[Sample] * 3]
    assert [f.source for f in items[1:5]] == [
        f"{tmp_path}/1.tar/0002",
        *(f"{tmp_path}/{i}.tar" for i in (2, 3, 4)),
    ]
    assert all("cannot be read from here on" in f.error for f in items[1:5])


def check_cut(data, length):
    """A shard cut there gives the first of its samples, and a failure for those that are lost."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.tar"
        path.write_bytes(data[:length])
        items = list(ShardReader(path).samples())
    samples = [i for i in items if isinstance(i, Sample)]
    full = [("robin", png(1)), ("wren", png(2)), ("robin", png(3))]
    assert [(s.category.name, s.image) for s in samples] == full[: len(samples)]
    assert len(items) - len(samples) == (len(samples) < 3)
    assert [type(i) for i in items[len(samples) :]] in ([], [Failure])
    return len(samples)


def test_a_tar_cut_at_any_byte():
    data = packed(BIRDS)
    end = len(data.rstrip(b"\0"))
    found = [
        check_cut(data, length) for length in (*range(0, end, 37), *range(end, len(data), 128))
    ]
    assert found == sorted(found)
    assert set(found) == {0, 1, 2, 3}
    for edge in range(0, len(data), 512):
        for length in (edge - 1, edge, edge + 1):
            check_cut(data, max(length, 0))


def test_a_gzipped_tar_cut_at_any_byte():
    data = gzip.compress(packed(BIRDS), mtime=0)
    found = [check_cut(data, length) for length in range(len(data))]
    assert found == sorted(found)
    assert {0, 3} <= set(found)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_of_any_kind_raises_nothing(data):
    damaged = bytearray(packed(BIRDS))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged.rstrip(b"\0"))))
        damaged[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        damaged = gzip.compress(bytes(damaged), mtime=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.tar"
        path.write_bytes(damaged)
        reader = ShardReader(path, names=["zero"])
        items = list(reader.samples())
        assert all(isinstance(item, Sample | Failure) for item in items)
        assert items == list(reader.samples())


def header(name, size, kind=tarfile.REGTYPE):
    """A header that says what it likes."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def test_a_map_of_holes_is_not_read(tmp_path):
    info = tarfile.TarInfo("k.png")
    info.size = 10_000
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "size": "10000"}
    head = info.tobuf(tarfile.PAX_FORMAT)
    (tmp_path / "t.tar").write_bytes(head + b"9999\n" + b"1\n" * 4_997 + b"\0" * 2_048)
    samples, [failure] = read(ShardReader(tmp_path / "t.tar"))
    assert not samples
    assert "of a kind that is not read" in failure.error


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (header("k", 9_000_000_000, tarfile.XHDTYPE), "a header has 9,000,000,000 bytes"),
        (header("k", 9_000_000_000, tarfile.GNUTYPE_LONGNAME), "a header has 9,000,000,000 bytes"),
        (header("k.png", 10**15), "in the midst of a member"),
        (header("k.npy", 10**15), "in the midst of a member"),
        (header("k.png", 100, tarfile.GNUTYPE_SPARSE), "of a kind that is not read"),
        (header("x", 512, tarfile.XHDTYPE) * 3_000, "recursion|header|end"),
    ],
)
def test_headers_that_ask_for_too_much(tmp_path, head, says):
    path = tmp_path / "t.tar"
    path.write_bytes(packed(BIRDS[:2])[:2048] + head + b"0" * 4096)
    samples, failures = read(ShardReader(path))
    assert len(samples) <= 1
    assert any(word in failures[-1].error for word in says.split("|"))


@pytest.mark.parametrize("change", ["names", "content", "more", "order"])
def test_changed_shards_are_others(tmp_path, change):
    for i in range(2):
        tar(tmp_path / f"{i}.tar", BIRDS)
    before = ShardReader(tmp_path / "*.tar").identity
    assert ShardReader([tmp_path / "0.tar", tmp_path / "1.tar"]).identity == before
    names, patterns = None, [tmp_path / "*.tar"]
    if change == "names":
        names = ["a"]
    elif change == "content":
        tar(tmp_path / "0.tar", [*BIRDS, ("k.png", png(4))])
    elif change == "more":
        tar(tmp_path / "2.tar", BIRDS)
    else:
        patterns = [tmp_path / "1.tar", tmp_path / "0.tar"]
    assert ShardReader(patterns, names).identity != before


@pytest.mark.parametrize("packing", ["xz", "bz2"])
def test_other_packings_are_not_read(tmp_path, packing):
    path = tar(tmp_path / "t.tar", BIRDS, f"w:{packing}")
    samples, [failure] = read(ShardReader(path))
    assert not samples
    assert failure.source == str(path)
