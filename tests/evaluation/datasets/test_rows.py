"""Tables and Hugging Face data sets."""

import csv
import io

import pytest
from PIL import Image

from rar_agent.errors import ConfigurationError, DamagedDataError, InputError
from rar_agent.evaluation.datasets import load_dataset, state_of
from rar_agent.evaluation.datasets.card import load_card
from tests.evaluation.datasets.conftest import paint

datasets = pytest.importorskip("datasets")
pa = pytest.importorskip("pyarrow")


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


def rows(part, count=2):
    return [
        {"image": png((c, i, len(part))), "category": name}
        for c, name in enumerate(("wren", "robin"))
        for i in range(count)
    ]


def test_two_tables(place, at):
    for part, count in (("train", 3), ("test", 2)):
        with (place / f"{part}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["image", "category", "aliases"])
            for name in ("wren", "robin"):
                for i in range(count):
                    paint(place / part / name / f"{i}.png")
                    table.writerow([f"{part}/{name}/{i}.png", name, "bird;small"])
    data = load_dataset({"train": f"{place}/train.csv", "test": f"{place}/test.csv"}, at)
    assert [category.name for category in data.categories] == ["robin", "wren"]
    assert data.categories[0].aliases == ("bird", "small")
    assert (len(data.train), len(data.test)) == (6, 4)
    assert data.train[0].key == "train/wren/0.png"
    assert data.train[0].file == place / "train" / "wren" / "0.png"


def test_parquet_holds_the_images_themselves(place, at):
    import pyarrow.parquet as pq

    for part in ("train", "test"):
        pq.write_table(pa.Table.from_pylist(rows(part)), place / f"{part}.parquet")
    card = {"train": f"{place}/train.parquet", "test": f"{place}/test.parquet"}
    data = load_dataset(card, at)
    assert len({image.key for image in (*data.train, *data.test)}) == 8
    assert data.train[0].file.read_bytes() == png((0, 0, 5))
    assert data.train[0].file.is_relative_to(at.home)
    assert load_dataset(card, at).checksum == data.checksum


@pytest.mark.parametrize(
    ("line", "error", "reason"),
    [
        ("https://x.org/1.jpg,wren", InputError, "reads files only"),
        ("1.png,", DamagedDataError, r"train\.csv:3"),
        ("gone.png,wren", DamagedDataError, "lacks 1 of the 2 images in train"),
    ],
)
def test_a_bad_row_is_told(place, at, line, error, reason):
    paint(place / "1.png")
    (place / "train.csv").write_text(f"image,category\n1.png,wren\n{line}\n")
    (place / "test.csv").write_text("image,category\nother.png,wren\n")
    with pytest.raises(error, match=reason):
        load_dataset({"train": f"{place}/train.csv", "test": f"{place}/test.csv"}, at)


@pytest.fixture
def saved(place):
    """A data set on disk with the splits train and test."""
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["rock_wren", "robin"])}
    )

    def split(part):
        found = [{"image": {"bytes": row["image"]}, "label": i // 2} for i, row in enumerate(part)]
        return datasets.Dataset.from_list(found, features=features)

    whole = datasets.DatasetDict({"train": split(rows("train")), "test": split(rows("test"))})
    whole.save_to_disk(place / "saved")
    return place / "saved"


def test_a_hugging_face_data_set_on_disk(saved, at):
    data = load_dataset({"dataset": str(saved)}, at)
    assert [category.name for category in data.categories] == ["robin", "rock wren"]
    assert [image.category for image in data.train] == [1, 1, 0, 0]
    assert data.test[0].key == "test[0]"
    assert data.test[0].file.read_bytes() == png((0, 0, 4))


def test_a_path_from_home(saved, at, monkeypatch):
    monkeypatch.setenv("HOME", str(saved.parent))
    assert len(load_dataset({"dataset": "~/saved"}, at).train) == 4
    with pytest.raises(ConfigurationError, match=f"there is no .{saved.parent / 'gone'}"):
        load_dataset({"dataset": "~/gone"}, at)


def test_the_hub_is_not_asked_unless_that_is_allowed(at, place):
    state = state_of(load_card({"dataset": "someone/birds"}, at.home), at)
    assert (state.state, "RAR_DOWNLOAD=1" in state.message) == ("downloadable", True)
    with pytest.raises(ConfigurationError, match=r"there is no .*/gone"):
        load_dataset({"dataset": str(place / "gone")}, at)
