"""tune: what it measures, chooses, keeps and records; and who uses it, and who is refused."""

import json
from importlib.util import find_spec

import pytest

from rar_agent.memory import open_memory
from rar_agent.memory.format.lock import writer_lock
from tests.conftest import draw
from tests.encoders.test_open_clip import make_folder

FAST = pytest.mark.skipif(
    not (find_spec("openvino") and find_spec("nncf")), reason="needs the extra fast"
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return f"open_clip:{make_folder(tmp_path_factory.mktemp('tiny'))}"


@pytest.fixture
def tiny(rar, tmp_path, monkeypatch, clip, discs):
    """A home with memory `discs` of a small encoder, and a photo that it does not hold."""
    home = tmp_path / "home"
    monkeypatch.setenv("RAR_HOME", str(home))
    monkeypatch.setenv("RAR_MEMORY", "discs")
    monkeypatch.setenv("RAR_BATCH_SIZE", "4")
    done = rar("memory", "create", "discs", "--images", discs, "--encoder", clip)
    assert done.status == 0, done.err
    photo = tmp_path / "photo.png"
    draw("red", 777).save(photo)
    return home, photo


def trace(rar, photo):
    done = rar("recognize", photo, "--json")
    assert done.status == 0, done.err
    return json.loads(done.out)["trace"]


def test_what_is_found_is_shown_kept_and_used(rar, tiny):
    home, photo = tiny
    before = trace(rar, photo)
    assert (before["engine"], before["precision"], before["tuned"]) == ("torch", "fp32", "")
    done = rar("tune", "--rounds", "2")
    assert done.status == 0, done.err
    assert "chosen: " in done.out
    assert "held-out exemplars" in done.out
    assert open_memory(home, "discs").manifest.generation == before["generation"]
    after = trace(rar, photo)
    assert after["tuned"]
    assert after["precision"] == "fp32"
    assert f"as tuned {after['tuned']}" in rar("doctor").out
    assert f"as tuned {after['tuned']}" in rar("recognize", photo, "--explain").out


def test_json_has_every_figure(rar, tiny):
    done = rar("tune", "--rounds", "1", "--json")
    found = json.loads(done.out)
    plain = found["measured"][0]
    assert (plain["engine"], plain["precision"], plain["refused"]) == ("torch", "fp32", "")
    assert plain["difference"] == 0
    assert plain["agreement"]["same"] == plain["agreement"]["images"] == 6
    assert plain["images_s"] > 0
    assert found["machine"]
    assert found["versions"]["torch"]


def test_what_a_lower_precision_costs_is_recorded_in_the_memory(rar, tiny):
    home, _ = tiny
    before = open_memory(home, "discs")
    done = rar("tune", "--rounds", "1", "--allow", "bf16")
    assert done.status == 0, done.err
    after = open_memory(home, "discs")
    [record] = after.manifest.drifts
    assert after.manifest.generation == before.manifest.generation + 1
    assert len(after.entries) == len(before.entries)
    assert (record.precision, record.images, record.of) == ("bf16", 6, "held-out exemplars")
    assert 0 <= record.low <= record.top1 <= record.high <= 1
    assert "bf16" in rar("memory", "show", "discs").out
    rar("tune", "--rounds", "1", "--allow", "bf16")
    assert len(open_memory(home, "discs").manifest.drifts) == 1
    assert [path.name for path in (home / "memories").iterdir()] == ["discs"]  # no copy is left


def test_who_writes_to_the_memory_is_asked_for_before_anything_is_measured(rar, tiny, monkeypatch):
    from rar_agent.encoders.tuning.measure import Measuring

    home, _ = tiny
    monkeypatch.setattr(Measuring, "run", lambda *_: pytest.fail("it measured"))
    with writer_lock(home / "memories" / "discs"):
        done = rar("tune", "--rounds", "1", "--allow", "bf16")
    assert done.status == 3
    assert "is being written" in done.err


def test_photos_that_the_memory_holds_do_not_count(rar, tiny, discs, tmp_path):
    done = rar("tune", "--rounds", "1", "--photos", discs)
    assert done.status == 2
    assert "that the memory does not hold" in done.err
    others = tmp_path / "others"
    others.mkdir()
    for seed in range(3):
        draw("blue", 900 + seed).save(others / f"{seed}.png")
    done = rar("tune", "--rounds", "1", "--photos", others, "--json")
    assert json.loads(done.out)["images"].startswith("3 photos of others")


def test_an_encoder_alone(rar, tiny, clip):
    found = json.loads(rar("tune", "--rounds", "1", "--encoder", clip, "--json").out)
    assert found["images"] == "64 generated images"
    assert all(one["agreement"] is None for one in found["measured"])
    assert found["lower"] is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--allow", "int4"], "'int4' is no precision"),
        (["--memory", "discs", "--encoder", "builtin"], "Give one"),
        (["--encoder", "builtin", "--allow", "bf16"], "Give --memory"),
        (["--memory", "imagenet-1k", "--allow", "bf16"], "ready-made"),
    ],
)
def test_bad_ways_to_tune(rar, tiny, arguments, says):
    done = rar("tune", *arguments)
    assert done.status == 2
    assert says in done.err


@FAST
def test_int8_is_used_where_its_drift_is_on_record_and_else_refused(
    rar, tiny, clip, discs, monkeypatch
):
    _, photo = tiny
    rar("memory", "create", "others", "--images", discs, "--encoder", clip)
    done = rar("tune", "--rounds", "1", "--allow", "int8", "--json")
    assert done.status == 0, done.err
    [lower] = [m for m in json.loads(done.out)["measured"] if m["precision"].startswith("int8")][:1]
    monkeypatch.setenv("RAR_PRECISION", "int8")
    assert trace(rar, photo)["precision"] == lower["precision"]
    assert trace(rar, photo)["engine"] == "openvino"
    done = rar("recognize", photo, "--memory", "others")
    assert done.status == 3
    assert "rar-agent tune --memory others --allow int8" in done.err
    done = rar("memory", "add", "others", "--images", discs)
    assert done.status == 3
    monkeypatch.delenv("RAR_PRECISION")
    done = rar("recognize", photo, "--memory", "others", "--json")
    assert json.loads(done.out)["trace"]["precision"] == "fp32"
