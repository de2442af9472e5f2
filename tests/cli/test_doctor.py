"""doctor: what it says of a model's server, with and without asking it."""

import pytest

from tests.openai_server import Reply


@pytest.fixture
def served(colours, server, monkeypatch):
    monkeypatch.setenv("RAR_MEMORY", "colours")
    monkeypatch.setenv("RAR_MODEL", "test-model")
    monkeypatch.setenv("RAR_BASE_URL", server.url)
    monkeypatch.setenv("RAR_MODEL_RETRIES", "0")
    return server


def about_model(done):
    assert done.status == 0, done.out
    lines = done.out.splitlines()
    return "\n".join(line for line in lines if "model" in line or line.startswith(" "))


def test_what_was_learnt_while_asking_is_told_and_nothing_is_asked(
    rar, served, monkeypatch, tmp_path
):
    from tests.conftest import draw

    monkeypatch.setenv("RAR_SKIP_RANKING_AT", "1.01")
    assert "nothing is known that it does not take" in about_model(rar("doctor"))
    assert served.requests == []
    served.script, served.refuses = [Reply('{"ranking": ["A"]}')], {"response_format"}
    draw("red", 99).save(tmp_path / "it.png")
    assert rar("recognize", tmp_path / "it.png").status == 0
    asked = len(served.requests)
    told = about_model(rar("doctor"))
    assert "takes no JSON schema (as of 20" in told
    assert "doctor --probe" in told
    assert len(served.requests) == asked


def test_probing_asks_and_keeps_what_it_finds(rar, served):
    served.script = [Reply("A", usage=(90, 700))]
    probed = about_model(rar("doctor", "--probe"))
    assert "answers (3160 tokens, at an unknown price)" in probed
    assert "largest picture: 768 pixels a side" in probed
    assert "reasoning_effort" in probed
    asked = len(served.requests)
    again = about_model(rar("doctor"))
    assert "largest picture: 768 pixels a side" in again
    assert "doctor --probe" not in again
    assert len(served.requests) == asked == 4


def test_a_model_that_does_not_answer_is_broken(rar, served):
    served.script = [Reply(status=500)]
    done = rar("doctor", "--probe")
    assert done.status == 3
    assert "broken  model: Model 'openai:test-model'" in done.out
