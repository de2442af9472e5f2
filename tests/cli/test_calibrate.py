"""memory calibrate."""

import shutil

import pytest

from tests.graph.test_calibrate import model, picture, taught  # noqa: F401 - a fixture
from tests.openai_server import Reply


@pytest.fixture
def asked(rar, server, taught, tmp_path, monkeypatch):  # noqa: F811
    """Runs it on a copy of the memory."""
    shutil.copytree(taught, tmp_path / "home")
    monkeypatch.setenv("RAR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAR_DEVICE", "cpu")
    monkeypatch.setenv("RAR_MODEL_RETRIES", "0")
    asked = ("memory", "calibrate", "shades", "--model", "openai:m", "--base-url", server.url)
    return lambda *more: rar(*asked, "--ranker", "choice", *more)


def test_it_says_what_the_model_is_worth_and_show_tells_it_again(rar, asked, server):
    server.answer = model()
    done = asked("--calls", "120")
    assert done.status == 0, done.err
    assert "openai:m, choice, choice@1: weight " in done.out
    assert "asked where retrieval is under 0." in done.out
    assert "order bias" in done.out
    assert "100: it always says the same letter" in done.out
    assert "not asking about the others costs 0.5 points at most" in done.out
    assert "calls, " in done.out
    shown = rar("memory", "show", "shades").out
    assert "ranking model" in shown
    assert "choice@1" in shown
    assert "stale" not in shown
    server.answer = model(0.0)
    assert "no help, and will not be asked" in asked("--calls", "120").out
    assert "never" in rar("memory", "show", "shades").out


def test_a_budget_and_answers_that_are_kept(rar, asked, server, monkeypatch, tmp_path):
    monkeypatch.setenv("RAR_CACHE_MB", "10")
    server.answer = model()
    done = asked("--calls", "100", "--asked", "0.3")
    assert done.status == 0, done.err
    assert "answered before" not in done.out
    made = len(server.requests)
    done = asked("--calls", "100", "--asked", "0.3")
    assert f"{made} calls ({made} answered before, at no cost)" in done.out
    assert len(server.requests) == made
    photo = tmp_path / "new.png"
    picture(7, 0).save(photo)
    told = rar("recognize", str(photo), "--memory", "shades", "--error-rate", "0.5")
    assert "on, for the error rate asked for" in told.out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--calls", "10"), "10 calls are too few: at least 30 answers are needed"),
        (("--points", "1", "--asked", "0.2"), "Give one"),
        (("--k", "1"), "leaves nothing to rank"),
        (("--prompt", "rank@1"), "cannot read"),
    ],
)
def test_what_it_cannot_do(asked, server, more, says):
    server.answer = model()
    done = asked(*more)
    assert done.status in (2, 3)
    assert says in done.err
    assert "Traceback" not in done.err


def test_a_server_that_fails(asked, server):
    server.script = [Reply(status=503)]
    done = asked()
    assert done.status == 4
    assert "scripted 503" in done.err


def test_a_limit_on_what_is_spent(asked, server, monkeypatch):
    server.answer = model()
    monkeypatch.setenv("RAR_PRICES", '{"openai:m": {"input": 100, "output": 0}}')  # 3 cents a call
    done = asked("--max-cost", "2")
    assert done.status == 0, done.err
    assert 50 <= len(server.requests) <= 68
    assert "dollars" in done.out
    done = asked("--max-cost", "0.1", "--prompt", "choice@1", "--orders", "2")
    assert done.status == 2
    assert "at least 30 are needed" in done.err
