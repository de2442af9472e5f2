"""finetune export, finetune lora."""

import json

import pytest

from tests.finetune.conftest import shades  # noqa: F401 - a fixture
from tests.models.local.tiny import build


@pytest.fixture
def home(shades, monkeypatch):  # noqa: F811
    monkeypatch.setenv("RAR_HOME", str(shades))
    return shades


def test_export_says_what_it_wrote_and_what_is_next(rar, home, tmp_path):
    asked = ("finetune", "export", "shades", tmp_path / "out", "--ranker", "choice", "--k", 4)
    done = rar(*asked, "--repeats", 2, "--eval-share", 0.25, "--seed", 1)
    assert done.status == 0, done.err
    assert "out: choice, choice@1, trl" in done.out
    assert "train 180 conversations about 90 exemplars of 10 categories; for" in done.out
    assert "eval  60 conversations about 30 exemplars" in done.out
    assert "next: rar-agent finetune lora" in done.out
    assert len((tmp_path / "out" / "train.jsonl").read_text().splitlines()) == 180
    again = rar(*asked)
    assert again.status == 2
    assert "there already" in again.err


def test_export_options_reach_the_files(rar, home, tmp_path):
    rest = ("--format", "openai", "--disjoint", "--eval-share", 0.3, "--limit", 30)
    done = rar("finetune", "export", "shades", tmp_path / "out", "--ranker", "listwise", *rest)
    assert done.status == 0, done.err
    assert "next" not in done.out
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert told["plan"]["disjoint"]
    assert told["train"]["exemplars"] + told["eval"]["exemplars"] == 30
    assert not (tmp_path / "out" / "images").exists()
    line = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[0])
    assert json.loads(line["messages"][-1]["content"])["ranking"]


@pytest.mark.parametrize(
    ("more", "status", "says"),
    [
        (("--prompt", "describe@1", "--ranker", "listwise"), 3, "no memory holds"),
        (("--prompt", "none@1"), 2, "no prompt"),
        (("--k", "1"), 2, ""),
    ],
)
def test_what_export_cannot_do(rar, home, tmp_path, more, status, says):
    done = rar("finetune", "export", "shades", tmp_path / "out", *more)
    assert done.status == status
    assert says in done.err
    assert not list(tmp_path.glob("*out*"))


def test_lora_trains_what_export_wrote(rar, home, tmp_path):
    pytest.importorskip("trl", reason="training needs the extra 'train'")
    pytest.importorskip("peft", reason="training needs the extra 'train'")
    rar("finetune", "export", "shades", tmp_path / "data", "--ranker", "choice", "--limit", 30)
    model = build("llava", tmp_path / "random")
    asked = ("finetune", "lora", tmp_path / "data", "--model", f"local:{model}")
    done = rar(
        *asked, "--out", tmp_path / "out", "--rank", 4, "--batch", 9, "--learning-rate", 1e-3
    )
    assert done.status == 0, done.err
    assert "out: 1 steps in" in done.out
    assert "right first" in done.out
    assert "rar-agent memory calibrate shades --model local:" in done.out
    assert rar("recognize", "--help").status == 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--learning-rate", "-1"), "--learning-rate -1.0 is not valid"),
        ((), "holds no exported conversations"),
    ],
)
def test_what_lora_refuses(rar, tmp_path, more, says, monkeypatch):
    monkeypatch.setattr("rar_agent.finetune.lora.find_spec", lambda name: object())
    asked = ("finetune", "lora", tmp_path, "--model", "x", "--out", tmp_path / "out")
    done = rar(*asked, *more)
    assert done.status == 2
    assert says in done.err
