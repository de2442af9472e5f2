"""Several servers behind a real nginx, over one memory on disk, and who asks them."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest
from mcp.client.streamable_http import streamable_http_client

from tests.agents.mcp.conftest import BEARER, COMMAND, TOKEN, data
from tests.conftest import COLOURS, draw
from tests.nginx import NAME, Nginx, free_port, printed, require

PASSWORD = "of a test"
Check = Callable[[Any, float], object]


def basic(user):
    """The header that a user's password is sent in."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()}


BASIC = basic("ann")
ACCEPT = {"Accept": "application/json, text/event-stream"}
STATELESS = ("--stateless", "--allow-host", NAME)


class Server:
    """A process of `rar-agent mcp --http`, always at the same port."""

    def __init__(
        self, variables: dict[str, str], folder: Path, options: tuple[str, ...] = STATELESS
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [COMMAND, "mcp", "--http", "--port", str(self.port), *options]
        self._given = {**os.environ, "RAR_MCP_TOKEN": TOKEN, **variables}
        self._log = folder / f"{self.port}.log"

    def start(self) -> Server:
        with self._log.open("a") as log:
            self.process = subprocess.Popen(self._command, env=self._given, stderr=log)
        return self

    def wait(self) -> httpx.Response:
        """Until it can be asked."""
        end = time.monotonic() + 120
        while True:
            try:
                return httpx.get(f"{self.url}/health").raise_for_status()
            except httpx.TransportError:
                assert self.process.poll() is None, self._log.read_text()
                assert time.monotonic() < end
                time.sleep(0.05)

    def stop(self) -> int:
        """As a service is stopped; gives its status."""
        self.process.terminate()
        return self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def alone(variables):
    """Variables of a server that asks no model."""
    models = ("RAR_MODEL", "RAR_BASE_URL")
    return {name: value for name, value in variables.items() if name not in models}


@pytest.fixture(scope="module")
def servers_of(tmp_path_factory):
    """Starts some, and stops them."""
    started, folder = [], tmp_path_factory.mktemp("servers")

    def start(count, variables, options=STATELESS):
        several = [Server(variables, folder, options).start() for _ in range(count)]
        started.extend(several)
        for one in several:
            one.wait()
        return several

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.fixture(scope="module")
def nginx_of(tmp_path_factory):
    """Starts nginx before the servers at some ports, as docs/serving.md prints it."""
    with ExitStack() as running:

        def start(ports, **given):
            folder = tmp_path_factory.mktemp("nginx")
            return running.enter_context(nginx_before(ports, folder, **given))

        yield start


def nginx_before(
    ports: list[int],
    folder: Path,
    block: int = 0,
    changes: Mapping[str, str] = MappingProxyType({}),
) -> Nginx:
    """An nginx that serves users `ann` and `bob` from the servers at some ports.

    Args:
        ports: Of the servers.
        folder: For all that it writes.
        block: Of docs/serving.md, whose upstream is taken.
        changes: To what is printed, old and new.
    """
    require("nginx", "nginx-light")
    require("htpasswd", "apache2-utils")
    passwords = folder / "htpasswd"
    passwords.write_text("".join(f"{user}:{hashed(PASSWORD)}\n" for user in ("ann", "bob")))
    configuration = printed("serving.md")[0]
    if block:
        upstream = configuration[: configuration.index("limit_req_zone")]
        configuration = configuration.replace(upstream, printed("serving.md")[block])
    listed = re.findall(r"^ +server 127.*\n", configuration, re.MULTILINE)
    given = {
        "".join(listed): "".join(listed[0].replace("8765", str(port)) for port in ports),
        "/etc/nginx/rar-agent.htpasswd": str(passwords),
        "Bearer TOKEN": BEARER["Authorization"],
        **dict(changes),
    }
    return Nginx(folder, configuration, given)


def hashed(password):
    """As `htpasswd -B` does it."""
    made = subprocess.run(
        ["htpasswd", "-nbB", "x", password], capture_output=True, text=True, check=True
    )
    return made.stdout.strip().partition(":")[2]


def over_tls(nginx, headers):
    """Connects the official client through nginx."""

    @asynccontextmanager
    async def connect():
        async with (
            nginx.client(headers, httpx.AsyncClient, timeout=60) as client,
            streamable_http_client(f"{nginx.url}/mcp", http_client=client) as streams,
        ):
            yield streams

    return connect


def called(tool: str, **arguments: Any) -> dict[str, Any]:
    """A request of the protocol that calls a tool."""
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def answer(response: httpx.Response) -> Any:
    """What the tool gave; fails where the request did."""
    assert response.status_code == 200, f"{response.status_code} {response.text[:200]}"
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
    result = json.loads(lines[-1])["result"]
    assert not result.get("isError"), result["content"]
    return result["structuredContent"]


PHOTOS = [(colour, data(draw(colour, 9_000 + i))) for i in range(4) for colour in COLOURS]


class Load:
    """Clients that ask without a pause, and count; each has one request on its way.

    Args:
        nginx: That is asked.
        clients: How many.
        check: Told of each answer, and when its request was sent; raises where it is wrong.
        **asked: Of each call.
    """

    def __init__(
        self, nginx: Nginx, clients: int = 4, check: Check | None = None, **asked: Any
    ) -> None:
        self.sent = 0
        self.right = 0
        self.wrong = []
        self._nginx, self._check, self._asked = nginx, check, asked
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(clients)]

    def _ask(self, number):
        with self._nginx.client({**BASIC, **ACCEPT}, timeout=60) as client:
            while not self._ended.is_set():
                with self._lock:
                    colour, sent = PHOTOS[self.sent % len(PHOTOS)]
                    self.sent += 1
                began = time.monotonic()
                try:
                    request = called("recognize_image", data=sent, **self._asked)
                    found = answer(client.post("/mcp", json=request))
                    assert found["categories"][0]["category"]["name"] == colour
                    if self._check:
                        self._check(found, began)
                except Exception as error:
                    self.wrong.append(f"{type(error).__name__}: {error}")
                else:
                    with self._lock:
                        self.right += 1

    def more(self, count: int) -> None:
        """Wait until so many more were answered, rightly or not."""
        until, end = self.right + len(self.wrong) + count, time.monotonic() + 120
        while self.right + len(self.wrong) < until:
            assert time.monotonic() < end
            time.sleep(0.02)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()
