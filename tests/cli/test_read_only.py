"""A machine whose files may only be read, as a container's: answers come; changes are refused."""

import json

import pytest

from tests.conftest import draw
from tests.disks import FULL, read_only, small_disk
from tests.openai_server import Reply

DETECT = ("detect", "photo.png", "--boxes", "boxes.json", "--memory", "colours")
READ = (
    ("memory", "list"),
    ("memory", "show", "colours"),
    ("memory", "verify", "colours"),
    ("prompts", "list"),
    ("prompts", "show", "rank@1"),
    DETECT,
)
CHANGES = {
    "create": ("memory", "create", "new", "--images", "discs"),
    "add": ("memory", "add", "colours", "--images", "discs"),
    "remove": ("memory", "remove", "colours", "red"),
    "rename": ("memory", "rename", "colours", "red", "pink"),
    "compact": ("memory", "compact", "colours"),
    "fit": ("memory", "fit", "colours"),
    "delete": ("memory", "delete", "colours", "--yes"),
    "export": ("memory", "export", "colours", "out"),
    "prompts new": ("prompts", "new", "mine"),
    "sheet": ("recognize", "photo.png", "--memory", "colours", "--sheet", "sheet.png"),
    "detect": (*DETECT, "--draw", "drawn.png"),
    "finetune": ("finetune", "export", "colours", "tuned"),
    "eval": ("eval", "run", "quick", "--limit", "1"),
    "ready": ("recognize", "photo.png", "--memory", "imagenet-1k"),
}


@pytest.fixture
def place(colours, discs, tmp_path, monkeypatch):
    """All that commands may write to, which is the working directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("RAR_CACHE_MB", "5")
    draw("red", 9_999).save(tmp_path / "photo.png")
    (tmp_path / "boxes.json").write_text("[[5, 5, 60, 60]]")
    (tmp_path / "discs").symlink_to(discs)
    (colours / "models").mkdir()
    with read_only(tmp_path):
        monkeypatch.chdir(tmp_path)  # into what is mounted now
        yield tmp_path
    monkeypatch.chdir("/")


def test_what_is_there_is_told(rar, place):
    for command in READ:
        done = rar(*command)
        assert done.status == 0, (command, done.err)


def test_images_are_recognised_with_a_model_or_without(rar, place, server, monkeypatch):
    done = rar("recognize", "photo.png", "--memory", "colours", "--json")
    assert (done.status, json.loads(done.out)["categories"][0]["category"]["name"]) == (0, "red")
    monkeypatch.setenv("RAR_BASE_URL", server.url)
    monkeypatch.setenv("RAR_SKIP_RANKING_AT", "1.01")
    server.refuses = {"response_format"}  # which is learnt, and cannot be written down
    server.script = [Reply('{"ranking": ["B", "A", "C", "D", "E"]}')]
    given = ("photo.png", "--memory", "colours", "--model", "openai:test-model", "--json")
    done = rar("recognize", *given)
    assert done.status == 0, done.err
    trace = json.loads(done.out)["trace"]
    assert not trace["degraded"], trace["reason"]
    assert len(server.requests) > 1


@pytest.mark.parametrize("command", CHANGES)
def test_a_change_is_refused_and_the_place_is_named(rar, place, command):
    done = rar(*CHANGES[command])
    assert done.status in (2, 3), (done.status, done.out, done.err)
    said = " ".join(done.err.split())
    assert "Read-only file system" in said or "Permission denied" in said
    assert "fix:" in said


def test_output_that_has_no_room(rar, colours, tmp_path):
    draw("red", 9_999).save(tmp_path / "photo.png")
    with small_disk(tmp_path / "disk") as disk, disk.leaving(0):
        out = disk.path / "sheet.png"
        done = rar("recognize", tmp_path / "photo.png", "--memory", "colours", "--sheet", out)
        assert done.status in (2, 3)
        assert any(words in done.err for words in FULL.split("|"))
