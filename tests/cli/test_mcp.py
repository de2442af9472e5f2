"""`rar-agent mcp`, where it cannot begin; servers that run are in tests/agents/mcp."""

import socket

import pytest


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--stateless"], 2, "Add --http"),
        (["--allow-host", "agents.example.org"], 2, "Add --http"),
        (["--http", "--stateless", "--teach"], 2, "Leave one of them out"),
        (["--http", "--port", "99999"], 2, "65535"),
        (["--http", "--port", "TAKEN"], 3, "Choose another with --port"),
    ],
)
def test_what_cannot_begin_says_why(rar, arguments, status, says):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [a.replace("TAKEN", str(taken.getsockname()[1])) for a in arguments]
        ended = rar("mcp", *given)
    assert (ended.status, ended.out) == (status, "")
    assert says in ended.err


def test_a_token_that_can_be_guessed_is_refused(rar, monkeypatch):
    monkeypatch.setenv("RAR_MCP_TOKEN", "secret")
    ended = rar("mcp", "--http", "--port", "0")
    assert ended.status == 3
    assert "has 6 characters" in ended.err
    assert "'secret'" not in ended.err


def test_settings_that_are_not_valid(rar, monkeypatch):
    monkeypatch.setenv("RAR_K", "99")
    ended = rar("mcp")
    assert ended.status == 3
    assert "RAR_K" in ended.err
