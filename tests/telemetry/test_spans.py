"""OpenTelemetry's spans and metrics of recognitions, in memory."""

import asyncio
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry import trace

from rar_agent.errors import ImageError
from rar_agent.models import Question
from rar_agent.prompts import Message
from rar_agent.telemetry import model_call, part
from rar_agent.telemetry.spans import _opentelemetry
from tests.conftest import draw
from tests.openai_server import Reply

RANKED = Reply('{"ranking": ["B", "A", "C", "D", "E"]}')
PRICES = {"openai:m": {"input": 1, "output": 1}}
CALL = 312e-6
"""Dollars for the server's usual answer."""


METRICS = [
    "gen_ai.client.operation.duration",
    "gen_ai.client.token.usage",
    "rar.answers.kept",
    "rar.cost",
    "rar.part.duration",
    "rar.recognitions",
]


def tree(spans):
    names = {span.context.span_id: span.name for span in spans}
    return [(s.name, names.get(s.parent.span_id) if s.parent else None) for s in spans]


def only(spans, name):
    [span] = [span for span in spans if span.name == name]
    return span


@contextmanager
def inside():
    """A span of the program around."""
    with trace.get_tracer("test").start_as_current_span("program"):
        yield


PARTS = [
    ("recognize", None),
    ("admit", "recognize"),
    ("encode", "recognize"),
    ("search", "recognize"),
    ("rank", "recognize"),
    ("chat m", "rank"),
]


@pytest.mark.parametrize("way", ["recognize", "arecognize"])
def test_the_parts_of_a_recognition(asking, server, spans, photo, way):
    server.script = [RANKED]
    recognizer = asking(max_cost=1, prices=PRICES)
    if way == "arecognize":
        found = asyncio.run(recognizer.arecognize(photo, k=5))
    else:
        found = recognizer.recognize(photo, k=5)
    ended = spans()
    assert tree(ended) == PARTS
    told = dict(only(ended, "recognize").attributes)
    assert told["rar.memory"] == "imagenet-1k"
    assert told["rar.generation"] == 1
    assert told["rar.decision"] == "accepted"
    assert told["rar.probability"] == found.probability
    assert (told["rar.degraded"], told["rar.cached"]) == (False, False)
    assert (told["rar.prompt"], told["rar.prompt_hash"]) == ("rank@1", found.trace.prompt_hash)
    assert told["rar.encoder"].startswith("builtin ")
    assert only(ended, "search").attributes["rar.k"] == 5
    assert only(ended, "encode").attributes["rar.images"] == 1
    call = only(ended, "chat m")
    assert call.kind is trace.SpanKind.CLIENT
    assert dict(call.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 300,
        "gen_ai.usage.output_tokens": 12,
        "rar.cost_usd": pytest.approx(CALL),
    }


@pytest.mark.parametrize("way", ["stream", "recognize_batch", "arecognize_batch"])
def test_many_images_are_each_a_tree_under_the_program(asking, server, spans, way):
    server.script = [RANKED]
    images = [draw("red", seed) for seed in range(3)]
    recognizer = asking()
    with inside():
        found = getattr(recognizer, way)(images)
        found = asyncio.run(found) if way == "arecognize_batch" else list(found)
    ended = spans()
    assert len(found) == 3
    seen = sorted(tree(ended), key=str)
    once = [("encode", "program"), ("program", None)]
    each = [("chat m", "rank"), ("rank", "recognize"), ("recognize", "program")]
    assert seen == sorted([*once, *3 * [*each, ("search", "recognize")]], key=str)
    calls = {span.parent.span_id for span in ended if span.name == "chat m"}
    assert len(calls) == 3  # each under its own
    assert len({span.context.trace_id for span in ended}) == 1


def test_what_cannot_be_read_is_an_error_on_its_spans(asking, spans, measured):
    with pytest.raises(ImageError):
        asking().recognize(b"no image")
    recognize, admit = spans()
    for span in (recognize, admit):
        assert span.status.status_code is trace.StatusCode.ERROR
        assert "8 bytes" in span.status.description
        assert span.attributes["error.type"] == "ImageError"
        assert [event.name for event in span.events] == ["exception"]
    labels = frozenset({"rar.part": "admit", "error.type": "ImageError"}.items())
    assert measured("rar.part.duration")[labels][1] == 1


def test_a_failed_model_is_an_error_of_its_call_alone(
    asking, server, spans, measured, photo, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-own-0123456789")
    echoed = "no: sk-own-0123456789 " + "QUJD" * 100
    server.script = [Reply(status=503, body=echoed.encode())]
    asking().recognize(photo)
    ended = spans()
    call, recognize = only(ended, "chat m"), only(ended, "recognize")
    assert call.status.status_code is trace.StatusCode.ERROR
    assert call.attributes["error.type"] == "OpenAIAPIError"
    said = str(call.status.description) + str(call.events[0].attributes)
    assert "0123456789" not in said
    assert "QUJDQUJD" not in said
    assert recognize.status.status_code is trace.StatusCode.UNSET
    assert recognize.attributes["rar.degraded"] is True
    [(labels, count)] = measured("rar.recognitions").items()
    assert (dict(labels)["rar.degraded"], count) == (True, 1)


async def test_who_is_cancelled_ends_its_spans(asking, server, spans, photo, caplog):
    server.script = [Reply("late", delay_s=5)]
    task = asyncio.create_task(asking().arecognize(photo))
    while not server.requests:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ended = spans()
    assert tree(ended) == PARTS
    for name in ("recognize", "rank", "chat m"):
        assert only(ended, name).attributes["error.type"] == "CancelledError"
    assert "detach" not in caplog.text  # OpenTelemetry's word where contexts are mixed up


def test_what_is_counted(asking, server, spans, measured, photo, tmp_path):
    server.script = [RANKED]
    recognizer = asking(cache_mb=1, home=tmp_path, max_cost=1, prices=PRICES)
    assert recognizer.recognize(photo).trace.usage.cached == 0
    first = spans()
    assert recognizer.recognize(photo).trace.usage.cached == 1
    again = spans()
    assert "chat m" not in [span.name for span in again]  # the answer was kept
    assert only(again, "recognize").attributes["rar.cached"] is True
    model = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
    }
    assert measured("gen_ai.client.token.usage") == {
        frozenset({**model, "gen_ai.token.type": "input"}.items()): (300, 1),
        frozenset({**model, "gen_ai.token.type": "output"}.items()): (12, 1),
    }
    [(labels, (_, calls))] = measured("gen_ai.client.operation.duration").items()
    assert (dict(labels), calls) == (model, 1)
    assert measured("rar.cost") == {frozenset(model.items()): pytest.approx(CALL)}
    memory = {"rar.memory": "imagenet-1k"}
    decided = {**memory, "rar.decision": "accepted", "rar.degraded": False}
    assert measured("rar.recognitions") == {frozenset(decided.items()): 2}
    assert measured("rar.answers.kept") == {frozenset(memory.items()): 1}
    parts = {
        dict(labels)["rar.part"]: n for labels, (_, n) in measured("rar.part.duration").items()
    }
    document = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text()
    told = {name for span in again + first for name in span.attributes} | set(METRICS)
    assert {name for name in told if f"`{name}`" not in document} == set()
    assert parts == {"recognize": 2, "admit": 2, "encode": 1, "search": 2, "rank": 2}


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("openai:qwen2.5vl:7b", "openai", "qwen2.5vl:7b"),
        ("google_genai:gemini-3", "gcp.gemini", "gemini-3"),
        ("local:/models/a", "local", "/models/a"),
    ],
)
def test_providers_as_the_conventions_call_them(spans, name, provider, model):
    with model_call(name):
        pass
    [span] = spans()
    assert span.name == f"chat {model}"
    assert span.attributes["gen_ai.provider.name"] == provider


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_fork_tells_of_its_own(asking, server, spans):
    model = asking().services.ranker.model
    question = Question((Message("user", ("?",)),))
    model.ask(question)  # the loop runs in the parent
    spans()
    child = os.fork()
    if not child:
        status = 1
        try:
            with part("rank"):
                model.ask(question)
            status = 0 if tree(spans()) == [("rank", None), ("chat m", "rank")] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert spans() == []


def test_without_opentelemetry_everything_goes_on(asking, server, spans, photo, monkeypatch):
    server.script = [RANKED]
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    _opentelemetry.cache_clear()
    try:
        assert asking().recognize(photo).trace.parse_status == "exact"
        assert _opentelemetry() is None
    finally:
        _opentelemetry.cache_clear()
    assert spans() == []
