"""A key is planted, everything is run, and all that was written or said is searched for it."""

import base64
import json
import logging
import sqlite3
import sys
import traceback
from pathlib import Path

import pytest

from rar_agent.cli import main
from rar_agent.models import load_chat_model
from rar_agent.settings import load_settings
from tests.cli.conftest import colours, rar, taught_colours  # noqa: F401 - fixtures
from tests.conftest import draw
from tests.openai_server import Reply

OF_ENVIRONMENT = "sk-of-environment-0123456789"
OF_OPTIONS = "sk-of-options-0123456789"
OF_HEADER = "sk-of-header-0123456789"
OF_URL = "sk-of-url-0123456789"
SENT = base64.b64encode(f"me:{OF_URL}".encode()).decode()
KEYS = (OF_ENVIRONMENT, OF_OPTIONS, OF_HEADER, OF_URL, SENT)


def said(status, text):
    """A server's refusal, which says back what it was sent."""
    return Reply(status=status, body=json.dumps({"error": {"message": text}}).encode())


def echo(request_heads):
    """All that the server was sent in the last request, the keys in its head among it."""
    return f"no: {request_heads[-1].decode('utf-8', 'replace')[:4000]}"


@pytest.fixture
def planted(server, monkeypatch):
    """Keys in the environment and in rar.toml, as people put them there."""
    monkeypatch.setenv("OPENAI_API_KEY", OF_ENVIRONMENT)
    Path("rar.toml").write_text(
        f'base_url = "{server.url}"\n'
        'model = "openai:m"\n'
        "skip_ranking_at = 1.01\n"
        "model_retries = 0\n"
        "cache_mb = 5\n"
        'log_level = "debug"\n'
        f'model_options = {{api_key = "{OF_OPTIONS}", '
        f'default_headers = {{"X-Own" = "{OF_HEADER}"}}}}\n'
    )
    monkeypatch.delenv("RAR_CACHE_MB")
    yield server
    Path("rar.toml").unlink()


@pytest.fixture
def everything(caplog, tmp_path, spans, home):
    """Finds the keys in files, records of logs at every level, and spans."""
    caplog.set_level(logging.DEBUG)

    def search(*texts, folders=()):
        found = []
        for folder in (tmp_path, home, *folders):
            for file in folder.rglob("*"):
                if file.is_file() and file.name != "rar.toml":
                    found += [(file.name, key) for key in KEYS if key.encode() in file.read_bytes()]
        seen = [*texts, *(span.to_json() for span in spans())]
        for record in caplog.records:
            trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
            seen.append(f"{record.name}: {record.getMessage()} {vars(record)} {trace}")
        return found + [(text, key) for text in seen for key in KEYS if key in text]

    return search


REPLIES = {
    "answer": lambda heads: Reply("A"),
    "401": lambda heads: said(401, echo(heads)),
    "400": lambda heads: said(400, echo(heads)),
    "500": lambda heads: said(500, echo(heads)),
    "no JSON": lambda heads: Reply(body=echo(heads).encode()),
    "other JSON": lambda heads: Reply(body=json.dumps({"what": echo(heads)}).encode()),
    "reset": lambda heads: Reply(fault="reset"),
}


@pytest.mark.parametrize("kind", REPLIES)
def test_recognising(rar, colours, planted, everything, kind):  # noqa: F811
    planted.answer = lambda request: REPLIES[kind](planted.received)
    draw("red", 4711).save("photo.png")
    printed = []
    for options in (["--json"], ["--explain", "--html", "page.html"], ["--sheet", "sheet.png"]):
        done = rar("recognize", "photo.png", "--memory", "colours", *options)
        assert done.status == 0, done.err
        printed += [done.out, done.err]
    for key in (OF_OPTIONS, OF_HEADER):  # they were used
        assert key.encode() in planted.received[0]
    assert everything(*printed, folders=[colours]) == []
    if kind == "answer":
        file = sqlite3.connect(colours / "cache" / "answers.sqlite")
        assert file.execute("SELECT count(*) FROM answers").fetchone() > (0,)


@pytest.mark.parametrize("kind", ["answer", "401", "reset"])
def test_a_password_in_a_servers_address(rar, colours, planted, everything, kind):  # noqa: F811
    planted.answer = lambda request: REPLIES[kind](planted.received)
    place = planted.url.replace("http://", f"http://me:{OF_URL}@")
    draw("red", 4711).save("photo.png")
    done = rar("recognize", "photo.png", "--memory", "colours", "--base-url", place, "--explain")
    assert done.status == 0, done.err
    assert SENT.encode() in planted.received[0]
    assert everything(done.out, done.err, folders=[colours]) == []


@pytest.mark.parametrize("kind", ["answer", "401", "no JSON"])
def test_an_evaluation_its_journal_and_report(rar, discs, planted, everything, kind):  # noqa: F811
    planted.answer = lambda request: REPLIES[kind](planted.received)
    suite = {
        "title": "Discs",
        "description": "x",
        "dataset": {"images": str(discs)},
        "protocol": {"shots": [1], "seeds": [1]},
        "memory": {"encoder": "builtin"},
        "ranker": {"model": "openai:m", "base_url": planted.url},
        "limit": 4,
    }
    Path("suite.yaml").write_text(json.dumps(suite))
    done = rar("eval", "run", "suite.yaml", "--out", "out")
    assert done.status in (0, 1), done.err
    again = rar("eval", "report", "out")
    assert planted.requests
    assert everything(done.out, done.err, again.out, again.err) == []


@pytest.mark.parametrize("kind", ["answer", "401", "no JSON"])
def test_the_doctor(rar, planted, everything, kind):  # noqa: F811
    planted.answer = lambda request: REPLIES[kind](planted.received)
    printed = [part for o in ([], ["--probe"]) for part in _both(rar("doctor", *o))]
    assert everything(*printed) == []


def _both(done):
    return done.out, done.err


@pytest.mark.parametrize(
    "wrong",
    [
        f'openai_api_key = "{OF_OPTIONS}"',
        f'model_options = "{OF_OPTIONS}"',
        f'model_options = {{api_key = "{OF_OPTIONS}"',
        f'model_options = {{api_key = ["{OF_OPTIONS}"]}}\nmodel = "openai:m"',
        f'model_options = {{temperature = "{OF_OPTIONS}"}}\nmodel = "openai:m"',
    ],
)
def test_settings_that_are_wrong(rar, everything, wrong):  # noqa: F811
    Path("rar.toml").write_text(wrong)
    draw("red", 4711).save("photo.png")
    done = rar("recognize", "photo.png")
    assert done.status == 3, done.err
    assert everything(done.out, done.err) == []


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_bug(monkeypatch, capsys, planted, debug):
    monkeypatch.setenv("RAR_DEBUG", debug)

    def fail():
        load_chat_model(load_settings())
        raise ValueError(" ".join((OF_ENVIRONMENT, OF_OPTIONS, OF_HEADER)))

    monkeypatch.setattr(sys.modules["rar_agent.cli.main"], "app", fail)
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr().err
    assert "bug: ValueError" in told
    assert ("Traceback" in told) == bool(debug)
    assert not [key for key in KEYS if key in told]
