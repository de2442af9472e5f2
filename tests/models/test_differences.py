"""Servers that differ: the messages are those of the servers that are named."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.errors import ProviderError
from rar_agent.images import to_picture
from rar_agent.models import Question, load_chat_model
from rar_agent.models.capabilities import Capabilities
from rar_agent.models.oversize import largest_side, within
from rar_agent.models.oversize import pictures_of as pictures_in
from rar_agent.prompts import Message, load_prompt
from rar_agent.ranking import ListwiseRanker
from rar_agent.settings import load_settings
from tests.conftest import draw
from tests.openai_server import Reply, pictures_of, size_of
from tests.ranking.test_listwise import CANDIDATES

TOO_LARGE = {
    "llama.cpp": (
        400,
        "request (4165 tokens) exceeds the available context size (4096 tokens), try increasing it",
    ),
    "llama.cpp, busy": (500, "Context size has been exceeded."),
    "vLLM": (
        400,
        "The decoder prompt (length 16476) is longer than the maximum model length of 16384.",
    ),
    "vLLM, with the answer": (
        400,
        "This model's maximum context length is 4096 tokens. However, you requested 5012 tokens.",
    ),
    "Ollama": (400, "prompt too long; exceeded max context length by 437000 tokens"),
    "LM Studio, MLX": (200, "Error in iterating prediction stream: Context size has been exceeded"),
    "Anthropic": (400, "messages.0.content.1.image: image exceeds 5 MB maximum: 6500712 bytes"),
    "a proxy": (413, "Request payload is too large"),
}


def chat(server, **options):
    options = {"model": "test-model", "model_retries": 0, **options}
    return load_chat_model(load_settings(base_url=server.url, **options))


def photos(count, side=600, **given):
    pictures = tuple(to_picture(draw("red", seed, side)) for seed in range(count))
    return Question((Message("user", ("Which?", *pictures)),), **given)


def takes(most_pixels, status=400, said="the available context size"):
    """A server's answer, if all pictures together have no more pixels."""

    def answer(request):
        sizes = [size_of(picture) for picture in pictures_of(request)]
        if sum(width * height for width, height in sizes) <= most_pixels:
            return Reply("A")
        body = json.dumps({"error": {"message": said, "code": status}})
        return Reply(status=status, body=body.encode())

    return answer


def sides(server):
    return [max(size_of(picture)) for r in server.requests for picture in pictures_of(r)]


@pytest.mark.parametrize("name", TOO_LARGE)
def test_too_large_pictures_are_shrunk_and_the_side_is_kept(server, name):
    server.answer = takes(300 * 300, *TOO_LARGE[name])
    question = photos(1, schema={"type": "object"}, settings={"temperature": 0})
    model = chat(server)
    assert model.ask(question).text == "A"
    assert sides(server) == [600, 400, 266]
    assert not model.capabilities.refused  # nothing else is blamed for it
    server.requests.clear()
    again = chat(server)
    assert again.ask(question).text == "A"
    assert sides(server) == [266]
    assert {"response_format", "temperature"} <= set(server.requests[-1])


def test_what_many_pictures_are_too_large_for_one_is_not(server):
    server.answer = takes(600 * 600)
    model = chat(server)
    model.ask(photos(3))
    assert model.capabilities.side(3) == model.capabilities.side(9) == 266
    assert model.capabilities.side(1) is None
    server.requests.clear()
    chat(server).ask(photos(1))
    assert sides(server) == [600]


def test_a_text_that_is_too_long_is_no_pictures_fault(server):
    server.answer = takes(-1)
    model = chat(server)
    with pytest.raises(ProviderError, match="context size"):
        model.ask(photos(1))
    assert sides(server) == [600, 400, 266, 177]
    assert model.capabilities.side(1) is None
    server.requests.clear()
    with pytest.raises(ProviderError):
        model.ask(Question((Message("user", ("no picture",)),)))
    assert len(server.requests) == 1


def test_tokens_a_minute_are_no_size(server):
    server.answer = takes(1, 429, "Request too large for gpt-5 on tokens per min (TPM)")
    with pytest.raises(ProviderError, match=r"429|Rate"):
        chat(server).ask(photos(1))
    assert sides(server) == [600]


async def test_pictures_shrink_on_an_event_loop_too(server):
    server.answer = takes(300 * 300)
    assert (await chat(server).aask(photos(1))).text == "A"
    assert sides(server) == [600, 400, 266]


def test_many_at_once_meet_a_server_that_takes_small_pictures_only(server):
    server.answer = takes(300 * 300)
    model = chat(server)
    with ThreadPoolExecutor(8) as pool:
        questions = [photos(1, 500 + 10 * n) for n in range(12)]
        assert [answer.text for answer in pool.map(model.ask, questions)] == ["A"] * 12
    kept = model.capabilities.side(1)
    assert 200 <= kept <= 300
    server.requests.clear()
    model.ask(photos(1))
    assert sides(server) == [kept]


@given(st.integers(1, 4), st.integers(16, 90), st.integers(16, 90))
@settings(max_examples=20, deadline=None)
def test_no_picture_is_over_the_side_and_no_text_is_changed(count, size, side):
    question = photos(count, size)
    fitted = within(question, side)
    assert largest_side(fitted) == min(size, side)
    assert len(pictures_in(fitted)) == count
    assert [m.text for m in fitted.messages] == [m.text for m in question.messages]
    assert (fitted is question) == (size <= side)


LETTERS = photos(1, 64, letters=("A", "B"))


def test_a_compatible_server_gets_the_limit_on_tokens_by_its_older_name(server):
    server.script = [Reply("A", logprobs={"A": -0.1})]
    chat(server).ask(LETTERS)
    sent = server.requests[-1]
    assert (sent["max_tokens"], "max_completion_tokens" in sent) == (3, False)
    chat(server).ask(photos(1, 64, settings={"max_tokens": 50}))
    assert server.requests[-1]["max_tokens"] == 50


def test_a_reasoning_model_behind_a_url_refuses_all_that(server):
    """As OpenAI's do: one parameter named at a time."""
    server.script = [Reply("A")]
    server.refuses = {"max_tokens", "temperature", "logprobs", "top_logprobs"}
    model = chat(server)
    question = photos(1, 64, letters=("A", "B"), settings={"temperature": 0, "max_tokens": 50})
    assert model.ask(question).text == "A"
    assert model.capabilities.refused == {"max_tokens", "temperature", "logprobs"}
    server.requests.clear()
    assert chat(server).ask(question).text == "A"
    [sent] = server.requests
    assert sent["max_completion_tokens"] == 50
    assert not server.refuses & set(sent)


def test_thoughts_that_take_all_tokens_are_told_from_an_empty_answer(server, tmp_path):
    server.script = [Reply("", finish="length", usage=(300, 50))]
    ranker = ListwiseRanker(chat(server), load_prompt("rank@1", tmp_path), "birds")
    ranking = ranker.rank(draw("red", 1), CANDIDATES, 3)
    assert ranking.parse_status == "failed"
    assert "allow more max_tokens" in ranking.raw
    assert ranking.usage.output_tokens == 50


def test_the_newer_name_goes_to_openai_itself(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    model = load_chat_model(load_settings(model="openai:gpt-5-mini"))
    assert not model.takes("max_tokens")
    assert model.takes("logprobs")


def test_options_of_a_model_are_sent_and_tell_it_from_others(server):
    server.script = [Reply("A")]
    server.refuses = {"temperature"}
    question = photos(1, 64, settings={"temperature": 0}, schema={"type": "object"})
    thinking = {"chat_template_kwargs": {"enable_thinking": False}}
    options = {"reasoning_effort": "minimal", "extra_body": thinking}
    plain, minimal = (chat(server, model_options=given, cache_mb=1) for given in ({}, options))
    assert minimal.ask(question).usage.cached == 0
    sent = server.requests[-1]
    assert sent["reasoning_effort"] == "minimal"
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}
    assert "response_format" in sent
    assert minimal.ask(question).usage.cached == 1
    assert plain.takes("temperature")  # which some models take where they do not think
    assert plain.ask(question).usage.cached == 0
    assert "reasoning_effort" not in server.requests[-1]


def test_what_was_learnt_before_there_were_sides_is_read(tmp_path):
    learnt = Capabilities("openai:m", "", tmp_path)
    learnt.refuse(["schema"])
    [file] = tmp_path.iterdir()
    old = json.loads(file.read_text())
    file.write_text(json.dumps({key: old[key] for key in ("name", "learnt", "refused")}))
    assert Capabilities("openai:m", "", tmp_path).refused == {"schema"}
    file.write_text(json.dumps({**old, "refused": ["something new"]}))
    assert not Capabilities("openai:m", "", tmp_path).refused


def test_processes_learn_from_each_other(tmp_path):
    one, two = (Capabilities("openai:m", "", tmp_path) for _ in range(2))
    one.refuse(["schema"])
    two.refuse(["logprobs"])
    two.limit(4, 300)
    one.limit(1, 500)
    known = Capabilities("openai:m", "", tmp_path).known
    assert (known.refused, known.sides) == ({"schema", "logprobs"}, {1: 500, 4: 300})
