"""memory create, add, fit, compact."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from rar_agent.cli.inputs import Inputs
from rar_agent.cli.report import estimate
from rar_agent.errors import InputError
from rar_agent.memory import Estimate, open_memory
from rar_agent.settings import load_settings
from tests.cli.conftest import row
from tests.conftest import draw

V1 = Path(__file__).parents[1] / "memory" / "format" / "v1.zip"

TABLE = """image,category,aliases,description,parent,metadata,region
{red},red,rouge;rot,Like blood.,warm,,Europe
{red2},red,,,,"{{""rare"": true}}",
{blue},blue,,,cold,,Asia
{red},scarlet,,,warm,,
nope.png,blue,,,,,
,green,,,cold,,
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RAR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def table(tmp_path, discs):
    path = tmp_path / "table.csv"
    images = {"red": "red_discs/0.png", "red2": "red_discs/1.png", "blue": "blue_discs/0.png"}
    path.write_text(TABLE.format(**{name: discs / place for name, place in images.items()}))
    return path


def test_a_table_with_all_it_can_say_and_what_went_wrong(rar, home, table, tmp_path):
    done = rar(
        *("memory", "create", "t", "--table", table, "--domain", "colours", "--thumbnails", 32),
        *("--views", "flip", "--template", "{} things", "--report", "report.jsonl"),
    )
    assert done.status == 0, done.err
    assert "learning 5 images: " in done.err  # one of which will not be found
    assert "on disk, up to" in done.err
    assert "t: 4 categories, 4 images learnt" in done.out
    assert "left out: " in done.err
    assert "scarlet): another category has the same image" in done.err
    left_out, conflict = map(json.loads, (tmp_path / "report.jsonl").read_text().splitlines())
    assert (left_out["what"], left_out["kind"]) == ("left out", "ImageError")
    assert left_out["source"].endswith("nope.png")
    assert conflict["what"] == "conflict"
    memory = open_memory(home, "t")
    assert memory.manifest.encoder.views == "flip"
    assert memory.manifest.encoder.templates == ("{} things",)
    assert memory.manifest.thumbnails == 32
    said = rar("memory", "show", "t", "--category", "red").out
    assert "also: rouge, rot\nis: Like blood.\nin: warm\n" in said
    assert "has: region=Europe, rare=true" in said


def test_several_inputs_are_one_build(rar, home, discs, table):
    (home.parent / "names.txt").write_text("yellow\n")
    done = rar(
        *("memory", "create", "t", "--images", discs, "--table", table),
        *("--names", "names.txt", "--shots", 2, "--seed", 3),
    )
    assert done.status == 0, done.err
    memory = open_memory(home, "t")
    assert {c.name for c in memory.categories} >= {"red", "red discs", "yellow", "green"}
    assert memory.image_count == 6 * 2 + 4  # at most two a category, over all inputs


def shard(path, classes):
    with tarfile.open(path, "w") as tar:
        for i, (suffix, said, colour) in enumerate(classes):
            picture = io.BytesIO()
            draw(colour, i).save(picture, "PNG")
            for name, data in ((f"{i}.{suffix}", said), (f"{i}.png", picture.getvalue())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def test_shards_and_the_names_of_their_classes(rar, home, tmp_path):
    for part in range(2):
        shard(tmp_path / f"{part}.tar", [("cls", b"0", "red"), ("cls", b"1", "blue")])
    (tmp_path / "names.txt").write_text("red discs\nblue discs\ngrey discs\n")
    failed = rar("memory", "create", "t", "--shards", "*.tar")
    assert failed.status == 2
    assert "is the number 0" in failed.err
    done = rar("memory", "create", "t", "--shards", "*.tar", "--names", "names.txt")
    assert done.status == 0, done.err
    assert "learning an unknown number of images" in done.err
    # Names of classes, not categories by name: grey has no image.
    assert "t: 2 categories, 2 images learnt, 2 known already" in done.out


def test_a_data_set(rar, home, tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        picture=datasets.Image(), kind=datasets.ClassLabel(names=["red_disc", "blue_disc"])
    )
    rows = {"picture": [draw("red", 1), draw("blue", 2)], "kind": [0, 1]}
    data = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict(train=data).save_to_disk(str(tmp_path / "set"))
    done = rar(
        *("memory", "create", "t", "--dataset", "set", "--split", "train"),
        *("--image-column", "picture", "--label-column", "kind"),
    )
    assert done.status == 0, done.err
    assert [c.name for c in open_memory(home, "t").categories] == ["red disc", "blue disc"]


def test_add_fit_and_compact(rar, colours, discs):
    added = rar("memory", "add", "colours", "--images", discs, "--no-fit")
    assert added.status == 0, added.err
    assert "colours: 12 categories, 36 images learnt" in added.out
    assert "probability: stale" in added.out
    assert "33.3 % changed since it was fitted: rar-agent memory fit colours" in added.out
    fitted = rar("memory", "fit", "colours")
    assert fitted.status == 0, fitted.err
    assert "changed since" not in fitted.out
    assert "calibrated by leaving out 144 exemplars" in fitted.out
    assert "by which the right answers are likeliest" in fitted.out
    rar("memory", "remove", "colours", "red discs", "--no-fit")
    assert "6 of 144 entries (4.2 %) are removed" in rar("memory", "show", "colours").out
    compacted = rar("memory", "compact", "colours", "--no-fit", "--recall", 0.9, "--ram", 1)
    assert compacted.status == 0, compacted.err
    assert "colours: 2 segments became 1, 6 entries reclaimed" in compacted.out
    assert "none: search is exact" in compacted.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--split", "train"], "Give --dataset"),
        (["--table", "nope.csv"], "is not a file"),
        (["--table", "x.txt"], "no table that is read"),
        (["--shards", "nope-*.tar"], "matches no file"),
        (["--dataset", "nope", "--names", "n.txt"], "RAR_DOWNLOAD=1"),
        (["--names", "n.txt", "--views", "two"], "Choose one, flip, crops"),
        (["--names", "n.txt", "--report", "/nope/r.jsonl"], "in a folder there is"),
        (["--names", "n.txt", "--template", "a photo"], "no place for the name"),
        (["--names", "n.txt", "--thumbnails", "-1"], "--thumbnails"),
        (["--names", "n.txt", "--shots", "0"], "--shots"),
        (["--names", "n.txt", "--encoder", "clip"], "names no encoder"),
    ],
)
def test_bad_values(rar, home, tmp_path, arguments, says):
    (tmp_path / "n.txt").write_text("red\n")
    done = rar("memory", "create", "t", *arguments)
    assert done.status in (2, 3)
    assert says in done.err
    assert not (home / "memories" / "t" / "CURRENT").exists()


def test_more_failures_than_are_shown(rar, home, tmp_path):
    (tmp_path / "t.csv").write_text("image,category\n" + "nope.png,red\n" * 25 + ",red\n")
    done = rar("memory", "create", "t", "--table", "t.csv")
    assert done.status == 0, done.err
    assert done.err.count("left out: ") == 20
    assert "… and 5 more left out; --report FILE.jsonl" in done.err


def test_a_build_that_does_not_fit_is_said():
    fits = Estimate(1_000, 10**6, 10**8, 10**12, 10**10)
    assert estimate(fits).plain == (
        "learning 1,000 images: 1.0 MB on disk, up to 100.0 MB of memory beside the encoder"
    )
    assert "may not fit: 1.0 MB of disk and 10.0 GB of memory are free" in (
        estimate(Estimate(1_000, 10**6, 10**8, 10**6, 10**10)).plain
    )
    assert "an unknown number of images: up to" in (
        estimate(Estimate(None, None, 10**8, 10**12, None)).plain
    )


def test_no_input_is_an_error():
    nothing = Inputs(None, None, None, None, None, None, None, None, None, 0)
    with pytest.raises(InputError, match="nothing to learn"):
        nothing.reader(load_settings())


def test_rows_align(rar, colours):
    assert row(rar("memory", "list").out, "colours")[1:3] == ["6", "108"]


def test_a_memory_of_format_1_is_brought_up_to_date(rar, home):
    with zipfile.ZipFile(V1) as archive:
        archive.extractall(home)
    assert "memory compact old" in rar("memory", "show", "old").err
    assert "has format version 1" in rar("memory", "list").out
    done = rar("memory", "compact", "old")
    assert done.status == 0, done.err
    assert "old: brought from format version 1 to 2" in done.out
    assert rar("memory", "show", "old").status == 0
