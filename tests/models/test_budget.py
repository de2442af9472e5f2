"""What is spent stays within a limit, whoever asks and however many at once."""

import asyncio
import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from rar_agent import Recognizer
from rar_agent.errors import BudgetError, ConfigurationError, ProviderError
from rar_agent.memory import create_memory, read_folder
from rar_agent.models import Budget, Question, load_chat_model
from rar_agent.prompts import Message
from rar_agent.settings import load_settings
from rar_agent.types import Recognition
from tests.conftest import draw
from tests.models.test_prices import completion
from tests.openai_server import Reply

QUESTION = Question((Message("user", ("Which?",)),))
PRICES = {"m": {"input": 100, "output": 0}}
CALL = 300 * 100e-6
"""Dollars for the server's usual answer."""


@pytest.fixture
def chat(server, tmp_path):
    def load(budget=None, **options):
        given = {"model": "m", "base_url": server.url, "model_retries": 0, "prices": PRICES}
        settings = load_settings(**{**given, "home": tmp_path, **options})
        return load_chat_model(settings, budget)

    return load


def ask(model):
    try:
        return model.ask(QUESTION)
    except ProviderError as error:
        return error


def crowd(model, count):
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda _: ask(model), range(count)))


def test_nothing_is_sent_once_the_limit_is_reached(server, chat):
    budget = Budget(2.5 * CALL)
    model = chat(budget)
    outcomes = [ask(model) for _ in range(4)]
    assert [isinstance(one, BudgetError) for one in outcomes] == [False, False, True, True]
    assert len(server.requests) == 2
    assert budget.spent == pytest.approx(2 * CALL)
    assert str(outcomes[-1]).startswith("The limit of $0.075 is reached: $0.060000 is spent, and")
    assert all(where in outcomes[-1].fix for where in ("--max-cost", "RAR_MAX_COST", "rar.toml"))


def test_many_at_once_spend_all_of_it_and_no_more(server, chat):
    server.script = [Reply("A", delay_s=0.02)]
    budget = Budget(10.5 * CALL)
    outcomes = crowd(chat(budget), 40)
    assert len(server.requests) == 10
    assert sum(isinstance(one, BudgetError) for one in outcomes) == 30
    assert budget.spent == pytest.approx(10 * CALL)


async def test_and_so_on_an_event_loop(server, chat):
    server.script = [Reply("A", delay_s=0.02)]
    budget = Budget(10.5 * CALL)
    model = chat(budget)
    asked = (model.aask(QUESTION) for _ in range(40))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert len(server.requests) == 10
    assert sum(isinstance(one, BudgetError) for one in outcomes) == 30


@pytest.mark.parametrize("seed", range(5))
def test_answers_of_all_lengths_miss_it_by_less_than_one(server, chat, seed):
    draw, lock, costs = random.Random(seed), threading.Lock(), []

    def answer(_):
        with lock:
            costs.append(draw.randint(250, 1_000))
        return Reply("A", usage=(costs[-1], 1), delay_s=draw.random() / 50)

    server.answer = answer
    budget = Budget(8_000 * 100e-6)
    crowd(chat(budget), 60)
    assert budget.spent == pytest.approx(sum(costs) * 100e-6)
    assert 7_000 <= sum(costs) <= 8_750


def test_the_first_call_goes_alone_for_nobody_knows_what_it_costs(server, chat):
    server.script = [Reply("A", usage=(10_000, 1), delay_s=0.2)]
    crowd(chat(Budget(0.5)), 8)
    assert len(server.requests) == 1  # and it was dearer than all that was there


def test_a_failed_call_costs_nothing_and_lets_the_next_one_go(server, chat):
    server.script = [Reply("A"), Reply(status=500), Reply(status=500), Reply("A")]
    budget = Budget(2.5 * CALL)
    outcomes = crowd(chat(budget), 8)
    assert len(server.requests) == 4
    assert sum(isinstance(one, BudgetError) for one in outcomes) == 4
    assert budget.spent == pytest.approx(2 * CALL)


def test_a_call_that_timed_out_counts_for_it_may_be_billed(server, chat):
    budget = Budget(10 * CALL)
    model = chat(budget, model_timeout_s=1)
    ask(model)
    server.script = [Reply("late", delay_s=3)]
    assert "imed out" in str(ask(model))
    assert budget.spent == pytest.approx(2 * CALL)


def test_requests_that_the_sdk_sent_in_vain_count_too(server, chat):
    budget = Budget(10 * CALL)
    model = chat(budget, model_timeout_s=1, model_retries=2)
    ask(model)
    refused = Reply(status=503, headers={"retry-after-ms": "10"})
    server.script = [Reply(fault="drip"), refused, Reply("A")]
    assert ask(model).text == "A"
    assert len(server.requests) == 4
    assert budget.spent == pytest.approx(3 * CALL)  # all but the refused one


async def test_a_call_that_was_given_up_counts_too(server, chat):
    budget = Budget(10 * CALL)
    model = chat(budget)
    await model.aask(QUESTION)
    server.script = [Reply("late", delay_s=0.5)]
    task = asyncio.create_task(model.aask(QUESTION))
    while len(server.requests) < 2:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert budget.spent == pytest.approx(2 * CALL)


def test_a_server_that_does_not_count_has_all_of_it_at_once(server, chat):
    server.script = [completion(None)]
    model = chat(Budget(1.0))
    assert ask(model).usage.cost is None
    assert isinstance(ask(model), BudgetError)


def test_kept_answers_need_no_money(server, chat):
    server.script = [Reply("A", usage=(10_000, 1))]
    model = chat(Budget(0.5), cache_mb=10)
    ask(model)
    assert ask(model).usage.cached == 1
    assert isinstance(_other(model), BudgetError)


def _other(model):
    try:
        return model.ask(replace(QUESTION, settings={"max_tokens": 5}))
    except BudgetError as error:
        return error


def test_a_limit_without_a_price_is_refused_with_what_to_write(chat):
    with pytest.raises(ConfigurationError, match=r"rar\.toml.*prices\.\"openai:n\" = ") as error:
        chat(model="n", max_cost=1.0)
    assert "cannot be kept" in str(error.value)
    chat(model="n", max_cost=1.0, prices={"openai:n": {"input": 0, "output": 0}})


def test_models_of_a_process_share_its_limit(server, chat):
    limit = {"max_cost": 2.5 * CALL}
    outcomes = [ask(chat(**limit)) for _ in range(3)]
    assert isinstance(outcomes[2], BudgetError)
    assert len(server.requests) == 2
    assert not isinstance(ask(chat()), BudgetError)


def test_who_waits_is_told_when_money_is_free_again():
    budget = Budget(10)
    first, waiting = budget.hold("m"), budget.hold("m")
    assert first == 10
    assert isinstance(waiting, Future)
    assert not waiting.done()
    budget.settle("m", first, 1)
    assert waiting.done()
    *held, waiting = (budget.hold("m") for _ in range(3))
    assert held == [4, 4]
    assert not waiting.done()
    budget.drop("m", 4, requests=0, at_most=1)
    assert waiting.done()
    budget.settle("m", 4, 3)
    assert budget.hold("m") == 6  # alone, with less than its margin
    budget.settle("m", 6, 3.5)
    with pytest.raises(BudgetError, match=r"\$7.500000 is spent, and a call costs up to \$3.5"):
        budget.hold("m")


@pytest.mark.parametrize("fault", ["", "drip", "reset", "reset late", "cut"])
def test_calls_that_are_never_answered_end_at_the_limit(server, chat, fault):
    """Each of the requests, retries too, may be billed; nobody knows yet what one costs."""
    server.script = [Reply("late", fault=fault, delay_s=0 if fault else 1)]
    question = replace(QUESTION, settings={"max_tokens": 100})
    budget = Budget(0.2)
    model = chat(
        budget,
        model_timeout_s=0.1,
        model_retries=1,
        prices={"m": {"input": 0, "output": 1_000}},
    )
    outcomes = []
    while not outcomes or not isinstance(outcomes[-1], BudgetError):
        try:
            model.ask(question)
        except ProviderError as error:
            outcomes.append(error)
    assert len(server.requests) == 2  # of $0.10
    assert budget.spent == pytest.approx(0.2)


def test_a_free_model_is_asked_as_often_as_one_likes():
    budget = Budget(1)
    budget.settle("m", budget.hold("m"), 0)
    assert [budget.hold("m") for _ in range(5)] == [0] * 5


def test_a_batch_ends_with_the_rest_in_retrieval_order(server, tmp_path, builtin, discs):
    create_memory(tmp_path, "discs", builtin, read_folder(discs), domain="discs")
    server.script = [Reply("A > B > C > D > E", delay_s=0.02)]
    recognizer = Recognizer(
        "discs",
        "m",
        home=tmp_path,
        device="cpu",
        base_url=server.url,
        skip_ranking_at=1.01,
        prices=PRICES,
        max_cost=3.5 * CALL,
    )
    results = recognizer.recognize_batch([draw("red", 200 + n) for n in range(8)])
    assert all(isinstance(result, Recognition) for result in results)
    assert all(result.categories for result in results)
    ranked = [result for result in results if not result.trace.degraded]
    assert len(ranked) == len(server.requests) == 3
    assert [result.trace.usage.cost for result in ranked] == pytest.approx([CALL] * 3)
    rest = [result.trace for result in results if result.trace.degraded]
    assert all("limit of $0.105 is reached" in trace.reason for trace in rest)
    assert {trace.usage.cost for trace in rest} == {0}
