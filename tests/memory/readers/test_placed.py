"""Images by their places are those that are read."""

import tarfile

import pytest

from rar_agent.errors import ImageError
from rar_agent.memory.readers import Sample, SampleReader, ShardReader, TableReader, chain, draw
from rar_agent.memory.readers.place import Cell, Packed, Span
from rar_agent.memory.readers.placed import PlaceReader, placed
from rar_agent.types import Failure
from tests.memory.readers.pictures import png
from tests.memory.readers.test_shards import BIRDS, packed, tar

pa = pytest.importorskip("pyarrow", reason="needs the extra data")
pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra data")

LARGE = b"x" * 1_000
MANY = [
    *BIRDS,
    ("0003.png", png(4)),
    ("0003.seg.png", png(5)),
    ("0003.txt", b"owl"),
    ("0004.png", LARGE),
    ("0004.cls", b"owl"),
    ("0005.jpg", b""),
    ("0005.cls", b"owl"),
    ("0006.cls", b"of nothing"),
    ("0007.png", png(7)),
    ("0007.cls", b"\xff"),
    ("0008.seg.png", png(8)),
    ("0008.png", png(9)),
    ("0008.cls", b"jay"),
]


def both(reader):
    """Samples as read, and as placed with their places read."""
    places = PlaceReader()
    seen = []
    for sample in placed(reader):
        if isinstance(sample, Sample) and sample.place is not None:
            assert sample.image is None
            seen.append((sample.category, places.read(sample.place), sample.source))
        else:
            seen.append(plain(sample))
    return [plain(sample) for sample in reader.samples()], seen


def plain(sample):
    if isinstance(sample, Failure):
        return sample
    return sample.category, sample.image, sample.source


@pytest.mark.parametrize(("name", "mode"), [("t.tar", "w"), ("t.tar.gz", "w:gz")])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_of_a_tar(tmp_path, name, mode, form):
    reader = ShardReader(tar(tmp_path / name, MANY, mode, form), max_bytes=len(LARGE) - 1)
    read, seen = both(reader)
    assert seen == read
    kinds = {type(s.place) for s in placed(reader) if isinstance(s, Sample)}
    assert kinds == {Packed if "gz" in mode else Span}
    assert sum(isinstance(one, Failure) for one in seen) == 4


def test_of_a_tar_that_was_cut_anywhere(tmp_path):
    """The same samples, and one failure more in the same place."""
    whole = packed(BIRDS)
    for end in range(0, len(whole), 200):
        (tmp_path / "t.tar").write_bytes(whole[:end])
        read, seen = both(ShardReader(tmp_path / "t.tar"))
        known = [[one for one in some if isinstance(one, tuple)] for some in (read, seen)]
        assert known[0] == known[1], end
        lost = [[one.source for one in some if isinstance(one, Failure)] for some in (read, seen)]
        assert lost[0] == lost[1], end


def test_no_byte_of_an_image_is_read_to_place_it(tmp_path):
    path = tar(tmp_path / "t.tar", [("1.png", b"0" * 3_000_000), ("1.cls", b"jay")])
    [sample] = placed(ShardReader(path))
    with path.open("r+b") as file:  # its bytes may become any others
        file.seek(sample.place.offset)
        file.write(png(1))
    assert PlaceReader().read(sample.place).startswith(png(1))


def rows(values, path, **how):
    pq.write_table(pa.Table.from_pylist(values), path, **how)
    return TableReader(path)


IMAGES = [{"image": png(i), "label": "ab"[i % 2], "n": i} for i in range(7)]


def test_of_parquet(tmp_path):
    reader = rows(IMAGES, tmp_path / "t.parquet", row_group_size=3)
    read, seen = both(reader)
    assert seen == read
    assert reader.count == 7
    places = [sample.place for sample in placed(reader)]
    assert places[4] == Cell(tmp_path / "t.parquet", "image", 1, 1)
    backwards = PlaceReader()  # slower, and right
    for number in range(6, -1, -1):
        assert backwards.read(places[number]) == png(number)


def test_of_parquet_as_data_sets_are_written(tmp_path):
    held = [{"image": {"bytes": png(i), "path": f"{i}.png"}, "label": "a"} for i in range(5)]
    read, seen = both(rows(held, tmp_path / "t.parquet"))
    assert seen == read
    assert all(image for _, image, _ in seen)


@pytest.mark.parametrize(
    "image", [None, "elsewhere.png", {"bytes": None, "path": "elsewhere.png"}], ids=str
)
def test_parquet_that_holds_no_image_in_some_row_is_read_as_ever(tmp_path, image):
    other = {"bytes": png(1), "path": ""} if isinstance(image, dict) else png(1)
    if isinstance(image, str):
        other = "1.png"
    values = [{"image": other, "label": "a"}, {"image": image, "label": "b"}]
    reader = rows(values, tmp_path / "t.parquet")
    read, seen = both(reader)
    assert seen == read
    assert not any(sample.place for sample in placed(reader))


def test_of_several_and_of_a_draw(tmp_path):
    whole = chain(
        ShardReader(tar(tmp_path / "t.tar", MANY)),
        rows(IMAGES, tmp_path / "t.parquet"),
        SampleReader({"jay": [png(20)]}),
    )
    for reader in (whole, draw(whole, 2, seed=5)):
        read, seen = both(reader)
        assert seen == read
    assert sum(isinstance(one, tuple) for one in seen) < len(MANY)


@pytest.mark.parametrize("kind", ["gone", "shorter"])
def test_what_changed_since_is_a_failure(tmp_path, kind):
    tar(tmp_path / "t.tar", BIRDS)
    tar(tmp_path / "t.tar.gz", BIRDS, "w:gz")
    readers = [ShardReader(tmp_path / "t.tar"), ShardReader(tmp_path / "t.tar.gz")]
    readers.append(rows(IMAGES, tmp_path / "t.parquet"))
    for reader in readers:
        last = [s.place for s in placed(reader) if isinstance(s, Sample)][-1]
        if kind == "gone":
            last.file.unlink()
        else:
            last.file.write_bytes(last.file.read_bytes()[:100])
        with pytest.raises(ImageError, match="cannot be read"):
            PlaceReader().read(last)
