"""Answers that are kept: what is, under which key, and by whom they are shared."""

import asyncio
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from rar_agent.errors import ProviderError
from rar_agent.images import to_picture
from rar_agent.models import Question, load_chat_model
from rar_agent.prompts import Message, load_prompt
from rar_agent.ranking import ChoiceRanker
from rar_agent.settings import load_settings
from rar_agent.types import Candidate, Category, Usage
from tests.conftest import draw
from tests.openai_server import Reply

PHOTO, OTHER = (to_picture(draw(colour, 1, 32)) for colour in ("red", "blue"))
QUESTION = Question(
    (Message("system", ("system",)), Message("user", ("question", PHOTO))),
    {"temperature": 0},
    {"type": "object"},
)
LOGPROBS = {"A": -0.1, "B": -2.5, "C": -math.inf}


@pytest.fixture
def chat(server, tmp_path):
    def load(**options):
        given = {"model": "m", "base_url": server.url, "model_retries": 0, "cache_mb": 10}
        return load_chat_model(load_settings(**{**given, "home": tmp_path, **options}))

    return load


def test_the_same_question_is_paid_for_once(server, chat):
    server.script = [Reply("first"), Reply("second")]
    paid = chat().ask(QUESTION)
    kept = chat().ask(QUESTION)
    of_then = {"kept_input_tokens": 300, "kept_output_tokens": 12, "kept_cost": None}
    assert kept == replace(paid, usage=Usage(cost=0, cached=1, **of_then))
    assert kept.usage.again == kept.usage
    assert paid.usage == Usage(input_tokens=300, output_tokens=12, cost=None)
    assert (paid.text, len(server.requests)) == ("first", 1)


async def test_and_so_on_an_event_loop(server, chat):
    server.script = [Reply("first"), Reply("second")]
    assert [(await chat().aask(QUESTION)).text for _ in range(2)] == ["first"] * 2
    assert chat().ask(QUESTION).text == "first"


def test_log_probabilities_come_back_as_they_were(server, chat):
    server.script = [Reply("A", logprobs=LOGPROBS, finish="length")]
    question = replace(QUESTION, letters=("A", "B", "C"))
    paid, kept = chat().ask(question), chat().ask(question)
    assert len(server.requests) == 1
    assert kept.few_tokens
    assert kept.tokens == paid.tokens == (LOGPROBS,)


SAID = Message("user", ("question", PHOTO))


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, messages=(Message("system", ("other",)), SAID)),
        replace(QUESTION, messages=(Message("assistant", ("system",)), SAID)),
        replace(QUESTION, messages=(SAID, Message("system", ("system",)))),
        replace(QUESTION, messages=(QUESTION.messages[0], Message("user", ("question", OTHER)))),
        replace(QUESTION, messages=(QUESTION.messages[0], Message("user", (PHOTO, "question")))),
        replace(QUESTION, settings={}),
        replace(QUESTION, settings={"temperature": 0, "max_tokens": 5}),
        replace(QUESTION, schema=None),
        replace(QUESTION, schema={"type": "array"}),
        replace(QUESTION, letters=("A",)),
        replace(QUESTION, letters=("A", "B")),
    ],
)
def test_whatever_is_asked_otherwise_is_another_question(server, chat, other):
    model = chat()
    keys = {question.key("m", "") for question in (QUESTION, other)}
    assert len(keys) == 2
    model.ask(QUESTION)
    model.ask(other)
    assert len(server.requests) == 2


def test_another_model_or_server_is_another_question(server, chat):
    for options in ({}, {"model": "n"}, {"base_url": f"{server.url}/"}):
        chat(**options).ask(QUESTION)
    assert [request["model"] for request in server.requests] == ["m", "n"]  # a slash is no server
    assert QUESTION.key("m", "http://a/v1") != QUESTION.key("m", "http://b/v1")


@pytest.mark.parametrize(("settings", "requests"), [({"temperature": 0.7}, 2), ({}, 1)])
def test_who_asks_for_chance_gets_it(server, chat, settings, requests):
    for _ in range(2):
        chat().ask(replace(QUESTION, settings=settings))
    assert len(server.requests) == requests


@pytest.mark.parametrize(
    "reply",
    [
        Reply(" "),
        Reply(None),
        Reply("A > ", finish="length"),
        Reply("no", finish="content_filter"),
        Reply(None, refusal="I will not"),
        Reply("done", finish=""),
    ],
)
def test_what_is_no_whole_answer_is_not_kept(server, chat, reply):
    server.script = [reply, Reply("whole")]
    chat().ask(QUESTION)
    assert chat().ask(QUESTION).text == "whole"


def test_a_failure_is_not_kept(server, chat):
    server.script = [Reply(status=500), Reply("whole")]
    with pytest.raises(ProviderError):
        chat().ask(QUESTION)
    assert chat().ask(QUESTION).text == "whole"


def test_few_tokens_without_log_probabilities_are_not_kept(server, chat):
    server.script = [Reply("A", finish="length"), Reply("B")]
    question = replace(QUESTION, letters=("A", "B"))
    assert chat().ask(question).few_tokens
    assert chat().ask(question).text == "B"


def test_nothing_is_kept_where_that_is_switched_off(server, chat, tmp_path):
    for _ in range(2):
        chat(cache_mb=0).ask(QUESTION)
    assert len(server.requests) == 2
    assert not (tmp_path / "cache").exists()


def test_equal_questions_at_once_are_paid_for_once(server, chat):
    server.script = [Reply("ok", delay_s=0.3)]
    model = chat()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: model.ask(QUESTION), range(8)))
    assert (len(server.requests), {answer.text for answer in answers}) == (1, {"ok"})
    assert sorted(answer.usage.cached for answer in answers) == [0] + [1] * 7


async def test_and_so_they_are_on_an_event_loop(server, chat):
    server.script = [Reply("ok", delay_s=0.3)]
    model = chat()
    answers = await asyncio.gather(*(model.aask(QUESTION) for _ in range(8)))
    assert (len(server.requests), {answer.text for answer in answers}) == (1, {"ok"})
    assert sorted(answer.usage.cached for answer in answers) == [0] + [1] * 7


def test_who_waits_for_a_failure_fails_too(server, chat):
    free, there = threading.Event(), threading.Barrier(5)
    server.script = [Reply(status=500, until=free)]
    model = chat()

    def ask():
        there.wait()
        with pytest.raises(ProviderError):
            model.ask(QUESTION)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        there.wait()
        time.sleep(0.3)  # for all to ask
        free.set()
        for one in asking:
            one.result()
    assert len(server.requests) == 1


async def test_who_waits_for_somebody_that_gives_up_asks_itself(server, chat):
    server.script = [Reply("late", delay_s=0.5), Reply("ok")]
    model = chat()
    first = asyncio.create_task(model.aask(QUESTION))
    while not server.requests:
        await asyncio.sleep(0.01)
    second = asyncio.create_task(model.aask(QUESTION))
    await asyncio.sleep(0.05)
    first.cancel()
    assert (await second).text == "ok"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_who_gives_up_waiting_takes_nobody_along(server, chat):
    server.script = [Reply("ok", delay_s=0.3)]
    model = chat()
    asked = [asyncio.create_task(model.aask(QUESTION)) for _ in range(3)]
    while not server.requests:
        await asyncio.sleep(0.01)
    asked[1].cancel()
    assert [(await asked[n]).text for n in (0, 2)] == ["ok", "ok"]
    assert len(server.requests) == 1


async def test_a_thread_may_wait_for_what_the_loop_that_it_blocks_asked(server, chat):
    server.script = [Reply("ok", delay_s=0.2)]
    model = chat()
    on_the_loop = asyncio.create_task(model.aask(QUESTION))
    while not server.requests:
        await asyncio.sleep(0.01)
    assert model.ask(QUESTION).text == "ok"
    assert (await on_the_loop).text == "ok"
    assert len(server.requests) == 1


def test_a_ranking_from_kept_answers_is_the_same_and_free(server, chat, tmp_path):
    server.answer = lambda request: Reply("B", logprobs=LOGPROBS, finish="length")
    prices = {"m": {"input": 1, "output": 10}}
    candidates = [
        Candidate(category=Category(name=name), score=-1, probability=0.3, evidence=("image",))
        for name in ("wren", "owl", "crow")
    ]
    prompt = load_prompt("choice@1", tmp_path)
    first, second = (
        ChoiceRanker(chat(prices=prices), prompt, "birds", 0).rank(draw("red", 1), candidates, 7)
        for _ in range(2)
    )
    assert first.usage.cost == pytest.approx(3 * (300 + 10 * 12) / 1e6)
    assert (second.usage.cost, second.usage.input_tokens, second.usage.cached) == (0, 0, 3)
    assert second.usage.whole == first.usage.whole
    assert second.probabilities == first.probabilities
    assert len(server.requests) == 3
