import logging
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from rar_agent.errors import ConfigurationError, InputError
from rar_agent.images import admit
from rar_agent.memory.readers import DatasetReader, FolderReader, draw
from tests.memory.readers.pictures import learnt, png, read

datasets = pytest.importorskip("datasets", reason="the extra 'data' is not installed")
import huggingface_hub.constants  # noqa: E402
import pyarrow as pa  # noqa: E402 - comes with datasets

LABELS = datasets.ClassLabel(names=["house_sparrow", "wren"])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def birds(count=4, **columns):
    """Images that are held, with class labels, and more columns."""
    content = {"image": [{"bytes": png(i), "path": None} for i in range(count)]}
    content["label"] = [i % 2 for i in range(count)]
    features = {"image": datasets.Image(), "label": LABELS}
    for column, kind in columns.items():
        content[column], features[column] = [None] * count, kind
    return datasets.Dataset.from_dict(content, features=datasets.Features(features))


BIRDS = [("house sparrow" if i % 2 == 0 else "wren", png(i)) for i in range(4)]


def test_a_dataset():
    reader = DatasetReader(birds())
    assert learnt(reader) == BIRDS
    samples, failures = read(reader)
    assert not failures
    assert [s.source for s in samples] == [f"dataset[{i}]" for i in range(4)]
    assert samples[0].key == "house_sparrow"
    assert reader.count == 4
    assert list(reader.samples()) == samples
    assert admit(samples[3].image).rgb.getpixel((0, 0)) == (3, 0, 77)


@pytest.mark.parametrize("form", ["torch", "numpy", "pandas"])
def test_a_format_that_is_set_is_no_matter(form):
    assert learnt(DatasetReader(birds().with_format(form))) == BIRDS


def test_an_iterable_dataset():
    reader = DatasetReader(birds().to_iterable_dataset())
    assert learnt(reader) == BIRDS == learnt(reader)
    assert reader.count is None
    assert DatasetReader(birds().to_iterable_dataset()).identity == reader.identity
    assert DatasetReader(birds(5).to_iterable_dataset()).identity != reader.identity


@pytest.mark.parametrize("written", ["dataset", "dict"])
def test_a_folder_that_save_to_disk_wrote(tmp_path, written):
    data = birds() if written == "dataset" else datasets.DatasetDict({"train": birds()})
    data.save_to_disk(tmp_path / "saved")
    reader = DatasetReader(tmp_path / "saved")
    assert learnt(reader) == BIRDS
    name = f"{tmp_path / 'saved'}" + (":train" if written == "dict" else "")
    assert read(reader)[0][1].source == f"{name}[1]"
    assert DatasetReader(str(tmp_path / "saved")).identity == reader.identity
    shutil.copytree(tmp_path / "saved", tmp_path / "copied")
    assert DatasetReader(tmp_path / "copied").identity == reader.identity
    birds(5).save_to_disk(tmp_path / "other")
    assert DatasetReader(tmp_path / "other").identity != reader.identity


def test_a_folder_of_images_reads_as_by_the_folder_reader(discs):
    by_library, by_folder = DatasetReader(discs), FolderReader(discs)
    assert sorted(map(str, learnt(by_library))) == sorted(map(str, learnt(by_folder)))
    assert by_library.count == 36
    assert sorted(s.source for s in draw(by_library, 2, 5).samples()) == sorted(
        s.source for s in draw(by_folder, 2, 5).samples()
    )


def test_a_folder_that_changes_is_another(discs, tmp_path):
    folder = shutil.copytree(discs, tmp_path / "discs")
    before = DatasetReader(folder).identity
    assert DatasetReader(folder).identity == before
    (folder / "red_discs" / "new.png").write_bytes(png(9))
    assert DatasetReader(folder).identity != before


@pytest.mark.parametrize("name", ["t.parquet", "odd [1].parquet"])
def test_a_file_that_the_library_reads(tmp_path, name):
    birds().to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").rename(tmp_path / name)
    assert learnt(DatasetReader(tmp_path / name)) == BIRDS


def test_splits():
    splits = datasets.DatasetDict({"train": birds(), "test": birds(2)})
    with pytest.raises(InputError, match="has the splits train, test"):
        DatasetReader(splits).count  # noqa: B018
    with pytest.raises(InputError, match=r"no split 'valid'\. It has train, test"):
        DatasetReader(splits, "valid").count  # noqa: B018
    assert DatasetReader(splits, "test").count == 2
    assert read(DatasetReader(splits, "test"))[0][0].source == "dataset:test[0]"
    assert DatasetReader(datasets.DatasetDict({"only": birds()})).count == 4
    streams = datasets.IterableDatasetDict({"train": birds().to_iterable_dataset()})
    assert learnt(DatasetReader(streams)) == BIRDS
    own = datasets.Dataset.from_dict(birds().to_dict(), birds().features, split="train")
    assert DatasetReader(own, "train").count == 4
    with pytest.raises(InputError, match="is the split train, not test"):
        DatasetReader(own, "test").count  # noqa: B018


def test_columns_are_found_by_what_they_hold():
    text = datasets.Value("string")
    data = birds().rename_columns({"image": "photo", "label": "species"})
    assert learnt(DatasetReader(data)) == BIRDS
    assert learnt(DatasetReader(birds(mask=datasets.Image(), coarse=LABELS))) == BIRDS
    assert learnt(DatasetReader(birds(caption=text))) == BIRDS  # class labels before text
    named = data.cast_column("species", text)
    assert [name for name, _ in learnt(DatasetReader(named))] == ["0", "1", "0", "1"]


@pytest.mark.parametrize(
    ("columns", "options", "says"),
    [
        ({}, {"image_column": "photo"}, r"no column 'photo'\. It has image, label"),
        ({}, {"label_column": "species"}, r"no column 'species'\. It has image, label"),
        (
            {"number": datasets.Value("int64")},
            {"label_column": "number"},
            "neither class labels nor text",
        ),
    ],
)
def test_columns_that_are_not_there(columns, options, says):
    with pytest.raises(InputError, match=says):
        DatasetReader(birds(**columns), **options).count  # noqa: B018


def test_columns_that_have_to_be_named():
    two = birds(mask=datasets.Image(), coarse=LABELS)
    two = two.rename_columns({"image": "photo", "label": "fine"})
    with pytest.raises(InputError, match=r"several columns .* the image: photo, mask.*_column=…"):
        DatasetReader(two).count  # noqa: B018
    with pytest.raises(InputError, match=r"several columns .* the label: fine, coarse"):
        DatasetReader(two, image_column="photo").count  # noqa: B018
    assert learnt(DatasetReader(two, None, "photo", "fine")) == BIRDS
    with pytest.raises(InputError, match=r"no column .* the image; its columns are x"):
        DatasetReader(datasets.Dataset.from_dict({"x": [1]})).count  # noqa: B018
    without = birds().remove_columns("label")
    with pytest.raises(InputError, match=r"no column .* the label; its columns are image"):
        DatasetReader(without).count  # noqa: B018


def test_other_columns_are_other_inputs():
    data = birds(coarse=LABELS)
    one, other = (DatasetReader(data, label_column=column) for column in ("label", "coarse"))
    assert one.identity != other.identity


def test_columns_of_paths_and_text(discs):
    images = sorted(map(str, discs.rglob("*.png")))[:2]
    content = {"where": [*images, "https://example.org/1.png", "zip://1.png::a.zip", None, "2.png"]}
    content["what"] = ["a", "b_c", "d", "e", "f", None]
    reader = DatasetReader(datasets.Dataset.from_dict(content), None, "where", "what")
    samples, failures = read(reader)
    assert [(s.category.name, s.source) for s in samples] == [
        ("a", images[0]),
        ("b_c", images[1]),
        ("d", "https://example.org/1.png"),
    ]
    assert admit(samples[0].image).rgb.size == (96, 96)
    for failure, says in zip(failures, ["no address", "no image", "no label"], strict=True):
        assert says in failure.error


def test_rows_without_a_label_are_failures_in_their_place():
    content = birds().to_dict()
    content["label"] = [0, -1, None, 1]
    data = datasets.Dataset.from_dict(content, birds().features)
    samples, failures = read(DatasetReader(data))
    assert [s.category.name for s in samples] == ["house sparrow", "wren"]
    assert [f.source for f in failures] == ["dataset[1]", "dataset[2]"]
    assert "label -1, which is none of the 2 classes" in failures[0].error


def test_rows_that_cannot_be_read_are_failures_in_their_place():
    good = pa.array(["a", "b", "c"])
    text = pa.StringArray.from_buffers(3, good.buffers()[1], pa.py_buffer(b"a\xffc"))
    data = datasets.Dataset(pa.table({"image": ["1.png", "2.png", "3.png"], "label": text}))
    samples, [failure] = read(DatasetReader(data, None, "image"))
    assert [s.category.name for s in samples] == ["a", "c"]
    assert failure.source == "dataset[1]"
    assert "The row cannot be read" in failure.error


def rows_that_break_off():
    yield {"image": "1.png", "label": "a"}
    yield {"image": "2.png", "label": 3}
    yield {"image": b"", "label": "a"}
    raise OSError("the disk is gone")


def test_a_stream_that_breaks_off():
    data = datasets.IterableDataset.from_generator(rows_that_break_off)
    with pytest.raises(InputError, match="not known before it is read"):
        DatasetReader(data).count  # noqa: B018
    reader = DatasetReader(data, None, "image", "label")
    [sample], failures = read(reader)
    assert sample.category.name == "a"
    assert [f.source for f in failures] == [f"dataset[{i}]" for i in (1, 2, 3)]
    for failure, says in zip(
        failures, ["the number 3", "no image", "from here on: OSError: the disk"], strict=True
    ):
        assert says in failure.error
    assert len(reader.identity) == 64


def test_class_labels_whose_names_become_one():
    two = datasets.ClassLabel(names=["a_b", "a b"])
    with pytest.raises(InputError, match="'a b' appears twice"):
        DatasetReader(birds().cast_column("label", two)).count  # noqa: B018


def test_what_is_no_dataset(tmp_path):
    with pytest.raises(InputError, match="A list is no data set"):
        DatasetReader([1])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot be loaded as a data set"):
        DatasetReader(tmp_path / "empty").count  # noqa: B018
    (tmp_path / "t.parquet").write_bytes(b"no Parquet")
    with pytest.raises(InputError, match="cannot be loaded as a data set"):
        DatasetReader(tmp_path / "t.parquet").count  # noqa: B018


def test_what_goes_wrong_is_said_once_and_why(tmp_path, caplog, monkeypatch):
    logger = logging.getLogger("datasets")
    monkeypatch.setattr(logger, "propagate", True)
    level = logger.level
    (tmp_path / "t.jsonl").write_text('{"image": 1}\n{"image": x}\n')
    with pytest.raises(InputError, match="ArrowInvalid: JSON parse error: Invalid value") as error:
        DatasetReader(tmp_path / "t.jsonl").count  # noqa: B018
    assert not error.value.message.endswith("..")
    assert caplog.records == []  # the library would have logged it too
    assert logger.level == level


def test_the_hub_is_asked_only_where_that_is_allowed(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigurationError, match="RAR_DOWNLOAD=1"):
        DatasetReader("somebody/birds")
    reader = DatasetReader("somebody/birds", download=True)
    with pytest.raises(InputError, match=r"somebody/birds.*Check its name, and the network"):
        reader.count  # noqa: B018


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rar-agent\[data\]'"):
        DatasetReader("birds")


class Proxy:
    """Counts who would go to the network through it, and lets nobody."""

    def __enter__(self):
        self.asked = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def _listen(self):
        try:
            while True:
                self._socket.accept()[0].close()
                self.asked += 1
        except OSError:
            return

    def __exit__(self, *_):
        self._socket.close()

    def run(self, code, home):
        """What the code printed."""
        address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
        environment = {k: v for k, v in os.environ.items() if k.lower() != "no_proxy"}
        environment |= dict.fromkeys(names, address) | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        return done.stdout + done.stderr


READ = """
import huggingface_hub.constants
from rar_agent.errors import InputError
from rar_agent.memory.readers import DatasetReader
try:
    print(DatasetReader({!r}).count)
except InputError as error:
    print(error)
print("online after" if not huggingface_hub.constants.HF_HUB_OFFLINE else "offline after")
"""


@pytest.mark.slow
def test_reading_a_local_folder_asks_nothing_of_anyone(discs, tmp_path):
    with Proxy() as proxy:
        assert proxy.run(READ.format(str(discs)), tmp_path / "home").startswith("36\nonline after")
        folder = tmp_path / "card"
        folder.mkdir()
        settings = folder / ".huggingface.yaml"
        settings.write_text("configs: [data_files: [https://a.org/1.parquet]]", encoding="utf-8")
        assert "network: https://a.org/1.p" in proxy.run(
            READ.format(str(folder)), tmp_path / "home"
        )
        settings.unlink()
        for url in ("https://example.org/1.parquet", "hf://datasets/somebody/birds/1.parquet"):
            card = f"---\nconfigs:\n- config_name: default\n  data_files: {url}\n---\n"
            (folder / "README.md").write_text(card, encoding="utf-8")
            assert f"network: {url}" in proxy.run(READ.format(str(folder)), tmp_path / "home")
        assert proxy.asked == 0
        proxy.run(f"import datasets; datasets.load_dataset({str(folder)!r})", tmp_path / "home")
        assert proxy.asked > 0  # the library would have


def test_importing_readers_is_light():
    code = (
        "import sys, rar_agent.memory.readers;"
        "print([m for m in ('datasets', 'pyarrow', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
