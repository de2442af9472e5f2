import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rar_agent.errors import InputError
from rar_agent.images import admit
from rar_agent.memory.readers import Sample, SampleReader
from rar_agent.types import Category
from tests.memory.readers.pictures import png

ROBIN = Category(name="robin", parent="birds")


def test_samples_as_they_are():
    samples = [Sample(ROBIN, png(1), "first"), Sample(ROBIN, None, "second")]
    reader = SampleReader(samples)
    assert list(reader.samples()) == samples == list(reader.samples())
    assert reader.count == 1


def test_images_by_the_name_of_their_category(tmp_path, monkeypatch):
    (tmp_path / "1.png").write_bytes(png(1))
    picture = Image.new("RGB", (2, 2), "red")
    array = np.zeros((2, 2, 3), np.uint8)
    url = "https://example.org/1.png"
    reader = SampleReader(
        {" robin ": [Path("1.png"), url, png(2), picture, array], "wren": (), "dunnock": [png(3)]}
    )
    monkeypatch.chdir("/")
    samples = list(reader.samples())
    assert [s.category.name for s in samples] == ["robin"] * 5 + ["wren", "dunnock"]
    assert [s.source for s in samples] == [
        str(tmp_path / "1.png"),
        url,
        "robin[2]",
        "robin[3]",
        "robin[4]",
        "wren",
        "dunnock[0]",
    ]
    assert samples[5].image is None
    assert reader.count == 6
    for sample in samples[:1] + samples[2:5]:
        assert admit(sample.image).rgb.size == (2, 2)


def test_categories_with_their_images(discs):
    images = sorted(discs.rglob("*.png"))[:3]
    reader = SampleReader([(ROBIN, images), (Category(name="wren"), [])])
    assert [(s.category.name, s.image) for s in reader.samples()] == [
        *(("robin", image) for image in images),
        ("wren", None),
    ]
    assert next(reader.samples()).category is ROBIN


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([], "nothing to learn"),
        ({}, "nothing to learn"),
        ("robin", "A str gives no samples"),
        (iter([Sample(ROBIN, None, "")]), "gives no samples that can be read again"),
        ([ROBIN], "is no sample"),
        (["ab"], "is no sample"),
        ([(ROBIN, "1.png")], "are a str, not a list"),
        ({"robin": png(1)}, "are a bytes, not a list"),
        ({"robin": Path("1.png")}, "not a list"),
        ({"robin": io.BytesIO(png(1))}, "not a list"),
        ({"robin": [io.BytesIO(png(1))]}, r"The image of robin\[0\] is an open file"),
        ([Sample(ROBIN, io.BytesIO(png(1)), "mine")], "The image of mine is an open file"),
        ({"robin": [], "robin ": []}, "'robin' appears twice"),
        ({"": []}, "cannot name a category"),
    ],
)
def test_what_cannot_be_read_again_and_again_is_refused(samples, says):
    with pytest.raises(InputError, match=says):
        SampleReader(samples)


def test_what_is_given_tells_one_from_another(tmp_path):
    file = tmp_path / "1.png"
    file.write_bytes(png(1))
    grey, red = Image.new("RGB", (2, 2), "grey"), Image.new("RGB", (2, 2), "red")
    wide, high = np.zeros((2, 4, 3), np.uint8), np.zeros((4, 2, 3), np.uint8)
    given = [
        {"a": [png(1)]},
        {"a": [png(2)]},
        {"b": [png(1)]},
        {"a": [png(1), png(2)]},
        {"a": [png(2), png(1)]},
        {"a": []},
        {"a": [grey]},
        {"a": [red]},
        {"a": [wide]},
        {"a": [high]},
        {"a": [file]},
        {"a": ["https://example.org/1.png"]},
        [(Category(name="a", parent="b"), [png(1)])],
    ]
    identities = [SampleReader(samples).identity for samples in given]
    assert len(set(identities)) == len(given)
    assert identities == [SampleReader(samples).identity for samples in given]
    file.write_bytes(png(1) + b"more")
    assert SampleReader(given[10]).identity != identities[10]


def test_an_identity_of_ones_own():
    one, other = SampleReader({"a": [png(1)]}, "mine"), SampleReader({"a": [png(2)]}, "mine")
    assert one.identity == other.identity != SampleReader({"a": [png(1)]}, "yours").identity
    assert len(one.identity) == 64
