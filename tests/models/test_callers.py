"""Who asks changes nothing: streamed graphs, other loops, forks, others who ask or give up."""

import asyncio
import sqlite3
import threading
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from openai import DefaultAsyncHttpxClient

from rar_agent.errors import BudgetError, ProviderError
from rar_agent.models import Budget, ChatModel, Question, load_chat_model
from rar_agent.models.budget import of_process
from rar_agent.models.client import LimitedClient
from rar_agent.models.prices import FixedPrice
from rar_agent.prompts import Message
from rar_agent.settings import TokenPrice, load_settings
from tests.conftest import eventually
from tests.forks import in_fork, needs_fork
from tests.openai_server import Reply

PRICES = {"m": {"input": 1, "output": 1}}
PRICE = FixedPrice(TokenPrice(input=1, output=1))
CALL = 312e-6
"""Dollars for the server's usual answer."""


def question(number=0, **given):
    return Question((Message("user", (f"question {number}",)),), {"temperature": 0}, **given)


@pytest.fixture
def chat(server, tmp_path):

    def load(**options):
        given = {"model": "m", "base_url": server.url, "model_retries": 0, "cache_mb": 0}
        return load_chat_model(load_settings(**{**given, "home": tmp_path, **options}))

    return load


def own(server, **options):
    """A model that somebody made with LangChain."""
    return ChatOpenAI(model="m", base_url=server.url, api_key="x", max_retries=0, **options)


@pytest.mark.parametrize("given", [False, True])
async def test_a_graph_that_is_streamed_asks_as_any_other(server, chat, given):
    model = ChatModel("openai:m", own(server, streaming=True)) if given else chat()
    answers = []

    async def node(state):
        answers.append(await model.aask(question()))
        return {}

    graph = StateGraph(MessagesState).add_node("node", node)
    graph = graph.add_edge(START, "node").add_edge("node", END).compile()
    modes = [mode async for mode, _ in graph.astream({"messages": []}, stream_mode=["messages"])]
    assert modes == []
    assert not server.requests[0].get("stream")
    assert answers[0].usage.input_tokens == 300


def test_a_model_of_ones_own_is_left_as_it_is(server):
    mine = own(server)
    asked = ChatModel("openai:m", mine)
    assert asked.ask(question()).text == "hello"
    assert (mine.disable_streaming, mine.http_async_client) == (False, None)
    assert isinstance(asked.model.http_async_client, LimitedClient)
    azure = AzureChatOpenAI(azure_endpoint=server.url, api_key="x", api_version="1", model="m")
    assert isinstance(ChatModel("azure_openai:m", azure).model.http_async_client, LimitedClient)


async def test_a_model_that_another_loop_uses_too(server):
    """LangChain's own client is shared by all models of a process, and so by their loops."""
    assert (await own(server).ainvoke("hello")).text == "hello"
    asked = ChatModel("openai:m", own(server))
    assert [(await asked.aask(question())).text for _ in range(2)] == ["hello"] * 2


@needs_fork
@pytest.mark.parametrize("options", [{"cache_mb": 10}, {"max_cost": 100, "prices": PRICES}])
def test_a_fork_while_a_call_is_on_its_way(server, chat, options):
    server.script = [Reply("late", delay_s=0.5), Reply("ok")]
    model = chat(**options)
    thread = threading.Thread(target=model.ask, args=(question(),))
    thread.start()
    eventually(lambda: server.requests)
    assert in_fork(lambda: model.ask(question()).text == "ok")
    thread.join()


async def test_whose_limit_is_reached_stops_nobody_else(server, chat):
    free = threading.Event()
    server.script = [Reply("one", until=free), Reply("two")]
    poor = chat(cache_mb=10, max_cost=1.1 * CALL, prices=PRICES)
    rich = chat(cache_mb=10)
    first = asyncio.create_task(poor.aask(question(0)))
    await asyncio.to_thread(eventually, lambda: server.requests)
    broke = asyncio.create_task(poor.aask(question(1)))  # it waits for the money of the first
    await asyncio.to_thread(eventually, lambda: of_process()._waiting)
    asked = asyncio.create_task(rich.aask(question(1)))  # it waits for the answer of that
    await asyncio.sleep(0.05)
    free.set()
    assert (await asked).text == "two"
    with pytest.raises(BudgetError):
        await broke
    assert (await first).text == "one"


async def test_a_paid_answer_is_not_lost_while_it_is_kept(server, chat, tmp_path):
    server.script = [Reply("warm"), Reply("one", delay_s=0.1), Reply("two")]
    model = chat(cache_mb=10)
    await model.aask(question(0))
    file = sqlite3.connect(tmp_path / "cache" / "answers.sqlite", isolation_level=None)
    leader = asyncio.create_task(model.aask(question(1)))
    while len(server.requests) < 2:
        await asyncio.sleep(0.001)
    file.execute("BEGIN IMMEDIATE")  # another process is writing
    waiter = asyncio.create_task(model.aask(question(1)))
    await asyncio.sleep(0.2)
    leader.cancel()
    assert (await waiter).text == "one"
    file.execute("ROLLBACK")
    file.close()
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert (await model.aask(question(1))).text == "one"
    assert len(server.requests) == 2


class Slow(BaseChatModel):
    """A model that knows no asynchronous calls, and answers when it is let."""

    free: Any = None

    @property
    def _llm_type(self):
        return "slow"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.free.wait(30)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("late"))])


async def test_models_that_block_hold_up_no_other(chat):
    free = threading.Event()
    slow, other = ChatModel("slow:m", Slow(free=free)), chat(cache_mb=10)
    await other.aask(question(0))
    for turn in range(5):
        tasks = [asyncio.create_task(slow.aask(question(n + 8 * turn))) for n in range(8)]
        await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(20):
        await other.aask(question(1))
    free.set()


async def test_scoring_takes_a_place():
    scored, free = [], threading.Event()

    class Scores(FakeListChatModel):
        def score_options(self, messages, options):
            scored.append(1)
            free.wait(30)
            return [-1.0] * len(options)

    model = ChatModel("local:m", Scores(responses=[""]), at_once=1)
    asked = (model.aask(question(n, letters=("A", "B"))) for n in range(20))
    tasks = [asyncio.create_task(one) for one in asked]
    await asyncio.to_thread(eventually, lambda: scored)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    free.set()
    await asyncio.sleep(0.1)  # for others to begin, if they do
    assert len(scored) == 1


@pytest.mark.parametrize("blocks", [False, True])
async def test_callbacks_may_ask_however_many_there_are(server, chat, blocks):
    """More of them at the same time than there are threads or places, each in one of these."""

    class Asks(BaseCallbackHandler):
        def on_chat_model_start(self, serialized, messages, **kwargs):
            if "again" not in str(messages):
                model.ask(question(f"again {messages}"))

    if blocks:
        model = ChatModel("quick:m", Quick(callbacks=[Asks()]), at_once=3)
    else:
        model = chat(cache_mb=10, model_requests=3)
        model.model = model.model.model_copy(update={"callbacks": [Asks()]})
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*(model.aask(question(n)) for n in range(40)))
    assert len(answers) == 40
    assert len(server.requests) == (0 if blocks else 80)


class Quick(Slow):
    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        return ChatResult(generations=[ChatGeneration(message=AIMessage("quick"))])


def test_a_refused_connection_costs_nothing():
    budget = Budget(1)
    absent = ChatOpenAI(model="m", base_url="http://127.0.0.1:9/v1", api_key="x", max_retries=0)
    with pytest.raises(ProviderError):
        ChatModel("openai:m", absent, price=PRICE, budget=budget).ask(question())
    assert budget.spent == 0


class Absent(FakeListChatModel):
    """A package of another provider, that tells of a refused connection in its own words."""

    async def _acall(self, *_, **__):
        try:
            try:
                raise ConnectionRefusedError
            except ConnectionRefusedError as error:
                raise OSError("all attempts failed") from error
        except OSError as error:
            raise RuntimeError("no connection") from error

    async def _agenerate(self, *_, **__):
        return await self._acall()


def test_and_so_with_other_providers():
    budget = Budget(1)
    with pytest.raises(ProviderError):
        ChatModel("other:m", Absent(responses=[""]), price=PRICE, budget=budget).ask(question())
    assert budget.spent == 0


async def test_who_gives_up_in_the_queue_pays_nothing(server):
    server.script = [Reply("x"), Reply("late", delay_s=1)]
    budget = Budget(1)
    mine = own(server, http_async_client=DefaultAsyncHttpxClient())  # a client without our limits
    model = ChatModel("openai:m", mine, price=PRICE, budget=budget, at_once=2)
    await model.aask(question(0))
    tasks = [asyncio.create_task(model.aask(question(n))) for n in range(1, 9)]
    while len(server.requests) < 3:
        await asyncio.sleep(0.01)
    for task in tasks[::-1]:  # else those that wait would have the places of those that end
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert budget.spent == pytest.approx(3 * CALL)


def test_retries_of_a_model_of_ones_own_count(server):
    server.script = [Reply("x"), Reply("late", delay_s=1), Reply("y")]
    budget = Budget(1)
    mine = ChatOpenAI(model="m", base_url=server.url, api_key="x", max_retries=1, timeout=0.2)
    model = ChatModel("openai:m", mine, price=PRICE, budget=budget)
    for number in range(2):
        model.ask(question(number))
    assert len(server.requests) == 3
    assert budget.spent == pytest.approx(3 * CALL)


def test_the_limit_that_was_set_last_counts(server, chat):
    first, later = (chat(max_cost=n * CALL, prices=PRICES) for n in (5, 1.5))
    first.ask(question(0))
    for model in (first, later):
        with pytest.raises(BudgetError):
            model.ask(question(1))
    chat(max_cost=2.5 * CALL, prices=PRICES)
    assert later.ask(question(1)).text == "hello"
