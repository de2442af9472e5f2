"""What is logged: events with fields, and neither keys nor images whatever is logged of others."""

import ast
import json
import logging
from pathlib import Path

import pytest

import rar_agent
from rar_agent.cli import main
from rar_agent.errors import ImageError
from rar_agent.telemetry import events, part
from rar_agent.telemetry.logs import log_to_standard_error
from tests.openai_server import Reply, pictures_of
from tests.telemetry.leaks import leaked

KEY = "sk-own-0123456789"


def test_a_failing_provider_at_every_level(asking, server, photo, caplog, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def echo(request):  # as vLLM says back what it was sent
        said = {"error": {"message": f"no {KEY}: {json.dumps(request)}"}}
        return Reply(status=500, body=json.dumps(said).encode())

    server.answer = echo
    with caplog.at_level(logging.DEBUG):  # of everybody
        found = asking(model_retries=1).recognize(photo)
    assert found.trace.degraded
    ours = [record for record in caplog.records if record.name.startswith("rar_agent")]
    told = [(record.levelname, record.event) for record in ours]
    assert told == [
        ("INFO", "memory opened"),
        ("INFO", "a model failed, with all retries"),
        ("WARNING", "degraded to the retrieval order"),
    ]
    assert ours[0].fields["categories"] == 1000
    assert ours[1].fields["model"] == "openai:m"
    assert ours[2].fields == {
        "image": str(photo),
        "memory": "imagenet-1k",
        "reason": found.trace.reason,
    }
    assert ours[2].filename == "recognized.py"
    assert "[OPENAI_API_KEY]" in found.trace.reason
    everything = caplog.text + found.model_dump_json() + repr([vars(r) for r in ours])
    assert KEY not in everything
    assert leaked(everything.encode(), pictures_of(server.requests[0])) == []


def test_a_library_says_nothing_where_nobody_listens(asking, server, photo, capfd):
    server.script = [Reply(status=500)]
    assert asking().recognize(photo).trace.degraded
    assert capfd.readouterr().err == ""


def test_lines_of_json(capsys, spans):
    log = events("rar_agent.test")
    log_to_standard_error("json", "info")
    log_to_standard_error("json", "info")  # a second time changes nothing
    with part("rank"):
        log.warning("it happened", name="Größe", seconds=1.5, error=ImageError("bad", "mend it"))
    [span] = spans()
    logging.getLogger("rar_agent.test").debug("not this")
    logging.getLogger("rar_agent.test").info("plain %s", "text")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "warning",
        "logger": "rar_agent.test",
        "event": "it happened",
        "name": "Größe",
        "seconds": 1.5,
        "error": "bad mend it",
        "trace_id": f"{span.context.trace_id:032x}",
        "span_id": f"{span.context.span_id:016x}",
    }
    assert (second["event"], second["level"]) == ("plain text", "info")


def test_lines_of_text_hide_what_others_log(capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    log_to_standard_error("text", "warning")
    logging.getLogger("rar_agent.test").warning("a key: %s", KEY)
    events("rar_agent.test").info("not this")
    try:
        raise ValueError(KEY)
    except ValueError:
        logging.getLogger("rar_agent.test").exception("it broke")
    first, second, *traceback = capsys.readouterr().err.splitlines()
    assert (first, second) == ("warning: a key: [OPENAI_API_KEY]", "error: it broke")
    assert traceback[-1] == "ValueError: [OPENAI_API_KEY]"


def test_lines_of_text_do_not_steer_the_terminal(capsys):
    log_to_standard_error("text", "warning")
    events("rar_agent.test").warning("refused", reason="\x1b[2J\x1b]8;;https://x\x07 \u202eder")
    assert capsys.readouterr().err == "warning: refused: reason=?[2J?]8;;https://x? ?der\n"


def test_a_bug_is_told_with_its_place(caplog, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    try:
        raise ValueError(KEY)
    except ValueError as error:
        events("rar_agent.test").error("a bug", error, tool="recognize_image")
    [record] = caplog.records
    assert (record.levelname, record.event) == ("ERROR", "a bug")
    assert record.fields["tool"] == "recognize_image"
    assert record.fields["traceback"].startswith("Traceback")
    assert record.fields["traceback"].endswith("ValueError: [OPENAI_API_KEY]\n")


def test_a_command_logs_as_the_settings_say(server, photo, monkeypatch, capsys):
    server.script = [Reply(status=500)]
    given = {"BASE_URL": server.url, "MODEL": "m", "MODEL_RETRIES": "0", "SKIP_RANKING_AT": "1.01"}

    def command(*arguments, **settings):
        for name, value in {**given, **settings}.items():
            monkeypatch.setenv(f"RAR_{name}", value)
        monkeypatch.setattr("sys.argv", ["rar-agent", "recognize", str(photo), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        return capsys.readouterr()

    printed = command("--json", LOG="json", LOG_LEVEL="info")
    assert json.loads(printed.out)["trace"]["degraded"] is True
    lines = [json.loads(line) for line in printed.err.splitlines()]
    assert [line["level"] for line in lines] == ["info", "info", "warning"]
    printed = command(LOG="text", LOG_LEVEL="warning")
    assert "degraded" in printed.out
    assert printed.err == ""  # a person reads of it in the answer, once


QUIETING = (
    "memory/readers/dataset_loading.py",
    "scale/milvus/server.py",
    "scale/ray/cluster.py",
)
"""These keep libraries' logs quiet."""


def test_all_log_by_events():
    package = Path(rar_agent.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent.name == "telemetry":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "getLogger":
                assert path.relative_to(package).as_posix() in QUIETING, path
