"""`rar-agent mcp --http`: who is answered, and what over HTTP is not as over stdio."""

import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_mcp_adapters.client import MultiServerMCPClient
from mcp.shared.exceptions import McpError
from starlette.testclient import TestClient

from rar_agent import Recognition
from rar_agent.agents.mcp.http import MOST_AT_ONCE, build_app, listen
from rar_agent.agents.mcp.server import build_server
from rar_agent.settings import Settings
from rar_agent.types import Detections
from tests.agents.conftest import model, tool_messages
from tests.agents.mcp.conftest import (
    BEARER,
    COMMAND,
    Client,
    data,
    http_server,
    over_http,
    text,
    until,
)
from tests.conftest import draw
from tests.openai_server import Reply

GREETING = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def url(variables, photos):
    with http_server({**variables, "RAR_ROOTS": str(photos / "open")}) as (_, url):
        yield url


@pytest.fixture(scope="module")
def client(url, photos):
    with Client(over_http(url), roots=[photos.as_uri()]) as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer another"}, 401),
        ({"Authorization": "Basic eDp5"}, 401),
        ({"Authorization": BEARER["Authorization"] + "x"}, 401),
        ({**BEARER, "Host": "rebound.example"}, 421),
        ({**BEARER, "Origin": "https://page.example"}, 403),
        (BEARER, 200),
        ({**BEARER, "Origin": "SELF"}, 200),
    ],
)
def test_who_is_answered(url, headers, status):
    given = {
        name: value.replace("SELF", url.removesuffix("/mcp")) for name, value in headers.items()
    }
    answer = httpx.post(url, json=GREETING, headers={**ACCEPT, **given})
    assert answer.status_code == status
    assert ("rar-agent" in answer.text) == (status == 200)
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_load_balancers_may_ask_for_its_health(url):
    answer = httpx.get(url.replace("/mcp", "/health"))
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_recognising_with_progress(client, ranker):
    ranker.script = [Reply("no letter")]
    told = []

    async def tell(done, total, message):
        told.append(message)

    result = client.call("recognize_image", progress=tell, data=data(draw("red", 99)))
    assert Recognition.model_validate(result.structuredContent).label == "red"
    assert told[-1] == "ranking 5 candidates"


def test_boxes_are_recognised_over_http_too(client, ranker):
    ranker.script = [Reply("no letter")]
    boxes = [[0, 0, 1, 1], [0, 0, 1, 1]]
    result = client.call("recognize_image", data=data(draw("green", 99)), boxes=boxes, draw=True)
    found = Detections.model_validate(result.structuredContent)
    assert [one.label for one in found.detections] == ["green", "green"]
    assert [block.type for block in result.content] == ["text", "image"]


def test_only_the_servers_roots_are_open(client, photos):
    """The client's roots name folders of a machine that may be another."""
    assert not client.call("recognize_image", image="red.png").isError
    refused = client.call("recognize_image", image=str(photos / "closed" / "red.png"))
    assert "not a file under the folders open to models" in text(refused)


def test_who_cancels_ends_the_call_of_the_model(client, ranker):
    ranker.script = [Reply("A", delay_s=30)]
    left = ranker.left
    call, number = client.begin("recognize_image", data=data(draw("red", 96)))
    until(lambda: ranker.open)
    client.cancel(number)
    with pytest.raises(McpError, match="cancelled"):
        call.result(timeout=10)
    until(lambda: ranker.left == left + 1)


def test_nobody_can_teach_where_it_was_not_asked_for(client):
    assert "There is no tool 'teach_category'" in text(client.call("teach_category", category="x"))


async def test_langchain_agents_get_the_tools(url, ranker):
    ranker.script = [Reply("no letter")]
    connection = {"transport": "streamable_http", "url": url, "headers": BEARER}
    tools = await MultiServerMCPClient({"rar": connection}).get_tools()
    call = {"name": "recognize_image", "args": {"image": "red.png"}, "id": "c", "type": "tool_call"}
    agent = create_agent(model(AIMessage("", tool_calls=[call]), "It is red."), tools=tools)
    state = await agent.ainvoke({"messages": [HumanMessage("What is it?")]})
    [message] = tool_messages(state)
    assert "Answer: red" in message.text
    assert message.artifact["structured_content"]["trace"]["memory"] == "colours"


def test_the_end_of_an_answer_does_not_wait_for_its_beginning_to_be_confirmed():
    with listen(0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_bodies_are_bounded(variables):
    small = {**variables, "RAR_MAX_BYTES": "1000"}
    with http_server(small, "--stateless", "--allow-host", "rar.example") as (process, url):
        large = {**GREETING, "params": "x" * 200_000}
        assert httpx.post(url, json=large, headers={**ACCEPT, **BEARER}).status_code == 413
        named = {"Host": "rar.example", "Origin": "https://rar.example"}
        answer = httpx.post(url, json=GREETING, headers={**ACCEPT, **BEARER, **named})
        assert answer.status_code == 200
        assert "mcp-session-id" not in answer.headers  # nothing of it is kept
        asked = {"jsonrpc": "2.0", "id": 2, "method": "tools/call"}
        asked["params"] = {"name": "list_memories", "arguments": {}}
        answer = httpx.post(url, json=asked, headers={**ACCEPT, **BEARER})
        assert "colours (default)" in answer.text
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


def test_who_is_told_to_end_answers_what_was_asked(variables, ranker):
    """And takes nothing else; so processes can be restarted one after the other."""
    ranker.script = [Reply("no letter", delay_s=3)]
    asked = {"jsonrpc": "2.0", "id": 2, "method": "tools/call"}
    arguments = {"data": data(draw("red", 95))}
    asked["params"] = {"name": "recognize_image", "arguments": arguments}
    with http_server(variables, "--stateless") as (process, url), ThreadPoolExecutor() as pool:
        headers = {**ACCEPT, **BEARER}
        answer = pool.submit(httpx.post, url, json=asked, headers=headers, timeout=30)
        until(lambda: ranker.open, 30)
        process.send_signal(signal.SIGTERM)
        until(lambda: not listens(url))
        assert not answer.done()
        assert "Answer: red" in answer.result().text
        assert process.wait(timeout=20) == 0


def listens(url):
    """Whether connections are taken there."""
    address = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


def test_who_listens_without_sessions_can_answer(variables):
    """What cannot be loaded is an error before: a balancer would send requests there."""
    missing = {**os.environ, **variables, "RAR_MEMORY": "nowhere"}
    done = subprocess.run(
        [COMMAND, "mcp", "--http", "--port", "0", "--stateless"],
        env=missing,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode
    assert "There is no memory 'nowhere'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_without_sessions_there_are_no_streams(method):
    app = build_app(build_server(Settings()), "x" * 16, ["test"], [], stateless=True)
    assert TestClient(app).request(method, "/mcp").status_code == 405


def test_connections_are_bounded(variables):
    with http_server(variables) as (process, url):
        asked, address = url.replace("/mcp", "/health"), urlsplit(url)
        with ExitStack() as stack:
            for _ in range(MOST_AT_ONCE):
                stack.enter_context(socket.create_connection((address.hostname, address.port)))
            until(lambda: httpx.get(asked).status_code == 503)
        until(lambda: httpx.get(asked).status_code == 200)
        assert process.poll() is None
