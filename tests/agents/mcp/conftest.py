"""Real servers, each a process of its own, and the official client over both transports."""

import base64
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import (
    CancelledNotification,
    CancelledNotificationParams,
    ClientNotification,
    ElicitResult,
    ListRootsResult,
    Root,
)

from rar_agent import Category
from rar_agent.memory import create_memory
from tests.agents.conftest import encoded
from tests.conftest import COLOURS, draw
from tests.openai_server import OpenAIServer

COMMAND = str(Path(sys.executable).parent / "rar-agent")
TOKEN = "a token of this test"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def data(image):
    return base64.b64encode(encoded(image)).decode()


class Client:
    """The official client's session, from synchronous code; it runs in a thread of its own."""

    def __init__(self, connect, roots=None, elicits=False):
        self._connect = connect
        self.roots = roots
        self.elicits = elicits
        self.answer = None
        """To the next question to a person."""
        self.asked = []
        """What a person was asked."""

    def __enter__(self):
        with ExitStack() as stack:  # where it fails, its thread must not stay
            self._portal = stack.enter_context(start_blocking_portal())
            opened = self._portal.wrap_async_context_manager(self._open())
            self.session, self.info = stack.enter_context(opened)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        self._stack.close()

    @asynccontextmanager
    async def _open(self):
        async with (
            self._connect() as (read, write, *_),
            ClientSession(
                read,
                write,
                list_roots_callback=self._list_roots if self.roots is not None else None,
                elicitation_callback=self._elicit if self.elicits else None,
            ) as session,
        ):
            yield session, await session.initialize()

    async def _list_roots(self, context):
        return ListRootsResult(roots=[Root.model_construct(uri=root) for root in self.roots])

    async def _elicit(self, context, params):
        self.asked.append(params)
        return ElicitResult(**self.answer)

    def do(self, work, *given, **named):
        """Await one of the session's methods."""
        return self._portal.call(lambda: work(*given, **named))

    def call(self, tool, progress=None, **arguments):
        return self.do(self.session.call_tool, tool, arguments, progress_callback=progress)

    def begin(self, tool, **arguments):
        """Begin a call; gives its future, and the number of its request."""
        number = self.session._request_id
        call = self._portal.start_task_soon(self.session.call_tool, tool, arguments)
        return call, number

    def cancel(self, number):
        params = CancelledNotificationParams(requestId=number, reason="no longer wanted")
        note = ClientNotification(CancelledNotification(params=params))
        self.do(self.session.send_notification, note)


def text(result):
    return result.content[0].text


def until(what, seconds=10):
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(scope="package")
def place(tmp_path_factory, builtin):
    """RAR_HOME with a memory of six colours, that nobody changes."""
    home = tmp_path_factory.mktemp("mcp-home")
    taught = [
        (
            Category(name=colour, parent="warm" if colour in ("red", "orange") else ""),
            [draw(colour, 100 * c + i) for i in range(3)],
        )
        for c, colour in enumerate(COLOURS)
    ]
    create_memory(home, "colours", builtin, taught, domain="coloured discs", thumbnails=32)
    return home


@pytest.fixture(scope="module")
def home(place, tmp_path_factory):
    """A copy of it, to change."""
    home = tmp_path_factory.mktemp("mcp") / "home"
    shutil.copytree(place, home)
    return home


@pytest.fixture(scope="module")
def ranker():
    with OpenAIServer() as running:
        yield running


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with a photo, and another beside it."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("open", "closed"):
        (folder / name).mkdir()
        draw("red", 99).save(folder / name / "red.png")
    (folder / "open" / "link.png").symlink_to(folder / "closed" / "red.png")
    return folder


@pytest.fixture(scope="module")
def variables(home, ranker):
    """Of a server's environment."""
    return {
        "RAR_HOME": str(home),
        "RAR_MEMORY": "colours",
        "RAR_DEVICE": "cpu",
        "RAR_CACHE_MB": "0",
        "RAR_BASE_URL": ranker.url,
        "RAR_MODEL": "test-model",
        "RAR_SKIP_RANKING_AT": "1.01",
        "RAR_CROP_SCALES": "[1, 1, 1]",  # a square box is its own crop
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }


def over_stdio(variables, *options, errors=None, command=COMMAND):
    parameters = StdioServerParameters(command=command, args=["mcp", *options], env=variables)
    return lambda: stdio_client(parameters, errlog=errors or sys.__stderr__)


def over_http(url, headers=BEARER):
    @asynccontextmanager
    async def connect():
        async with (
            httpx.AsyncClient(headers=headers, timeout=60) as client,
            streamable_http_client(url, http_client=client) as streams,
        ):
            yield streams

    return connect


@contextmanager
def http_server(variables, *options):
    """A server's process and its address."""
    command = [COMMAND, "mcp", "--http", "--port", "0", *options]
    given = {**os.environ, "RAR_MCP_TOKEN": TOKEN, **variables}
    with subprocess.Popen(command, env=given, stderr=subprocess.PIPE, text=True) as process:
        try:
            found = re.search(r"http://\S+", process.stderr.readline())
            yield process, found[0]
        finally:
            process.terminate()
            process.communicate(timeout=30)
