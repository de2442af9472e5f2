import time

import pytest

from rar_agent.errors import ConfigurationError, ProviderError
from rar_agent.images import to_picture
from rar_agent.models import Question, load_chat_model
from rar_agent.models.probe import unreachable
from rar_agent.prompts import Message
from rar_agent.settings import load_settings
from tests.conftest import draw
from tests.openai_server import Reply

PHOTO = to_picture(draw("red", 1, 32))
QUESTION = Question(
    (Message("system", ("system",)), Message("user", ("question", PHOTO))),
    schema={"type": "object"},
)


def chat(server, **options):
    return load_chat_model(load_settings(model="test-model", base_url=server.url, **options))


def ask(model):
    return model.ask(QUESTION)


def test_the_sdk_alone_retries_and_honours_its_count(server):
    server.script = [
        Reply(status=503),
        Reply(status=429, headers={"retry-after-ms": "10"}),
        Reply("ok"),
    ]
    assert ask(chat(server, model_retries=2)).text == "ok"
    assert len(server.requests) == 3
    server.requests.clear()
    server.script = [Reply(status=500)]
    with pytest.raises(ProviderError):
        ask(chat(server, model_retries=1))
    assert len(server.requests) == 2


def test_a_slow_server_times_out(server):
    server.script = [Reply("late", delay_s=3)]
    start = time.monotonic()
    with pytest.raises(ProviderError, match=r"[Tt]imed? ?out"):
        ask(chat(server, model_timeout_s=0.2, model_retries=0))
    assert time.monotonic() - start < 2.5


def test_a_server_that_is_not_there():
    base_url = "http://me:secret@127.0.0.1:9/v1?key=secret"
    settings = load_settings(model="x", base_url=base_url, model_retries=0)
    with pytest.raises(ProviderError, match=r"at http://127\.0\.0\.1:9/v1 failed.*doctor") as error:
        ask(load_chat_model(settings))
    assert "secret" not in str(error.value)


def test_names_with_colons_go_to_the_server_whole(server):
    settings = load_settings(model="qwen2.5vl:7b", base_url=server.url)
    ask(load_chat_model(settings))
    assert server.requests[-1]["model"] == "qwen2.5vl:7b"
    settings = load_settings(model="openai:qwen2.5vl:7b", base_url=server.url)
    ask(load_chat_model(settings))
    assert server.requests[-1]["model"] == "qwen2.5vl:7b"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"model": "gpt-5-mini"}, "names no provider"),
        ({"model": "openai:gpt-5-mini", "model_retries": 1}, "cannot be set up"),
        ({"model": "openai:gpt-5-mini"}, "OPENAI_API_KEY"),
        ({"model": "anthropic:claude"}, "not installed"),
        ({"base_url": "http://127.0.0.1:9/v1"}, "No model is named"),
        ({}, "No model is named"),
    ],
)
def test_what_cannot_be_set_up_says_what_to_do(given, says):
    with pytest.raises(ConfigurationError) as error:
        load_chat_model(load_settings(**given))
    assert says in str(error.value)


def test_reachability_costs_no_answer(server):
    assert unreachable(chat(server)) is None
    server.models = ["other"]
    assert "no 'test-model', but other" in unreachable(chat(server))
    assert server.requests == []
    settings = load_settings(model="x", base_url="http://127.0.0.1:9/v1")
    assert "Connection" in unreachable(load_chat_model(settings))


def test_many_at_once_meet_a_server_without_schemas(server):
    from concurrent.futures import ThreadPoolExecutor

    server.refuses = {"response_format"}
    server.script = [Reply("ok", delay_s=0.05)]
    model = chat(server, model_retries=0)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(model).text, range(16)))
    assert answers == ["ok"] * 16


def test_an_unrelated_refusal_does_not_cost_the_schema(server):
    model = chat(server, model_retries=0)
    server.script = [Reply(status=400), Reply(status=400), Reply("ok")]
    with pytest.raises(ProviderError):
        ask(model)
    ask(model)
    assert "response_format" in server.requests[-1]
