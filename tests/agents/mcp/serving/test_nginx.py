"""docs/serving.md's nginx as it is printed: who gets through, how much, how often, what to whom."""

import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from PIL import Image

from rar_agent import Recognition
from tests.agents.mcp.conftest import BEARER, Client, data, text
from tests.agents.mcp.serving.conftest import ACCEPT, BASIC, answer, basic, called, over_tls
from tests.agents.mcp.test_http import GREETING
from tests.conftest import draw
from tests.nginx import NAME
from tests.openai_server import Reply

pytestmark = pytest.mark.slow

MANY = {"rate=5r/s": "rate=10000r/s"}
"""One address asks here for many."""


@pytest.fixture(scope="module")
def server(servers_of, variables):
    [server] = servers_of(1, variables)
    return server


@pytest.fixture(scope="module")
def nginx(nginx_of, server):
    return nginx_of([server.port], changes=MANY)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Basic " + "YW5uOndyb25n"}, 401),  # ann:wrong
        (BEARER, 401),  # it stays between nginx and the server
        (BASIC, 200),
        ({**BASIC, "Origin": f"https://{NAME}"}, 200),
        ({**BASIC, "Origin": "https://page.example"}, 403),
        ({**BASIC, "Host": "rebound.example"}, 421),
    ],
)
def test_who_is_answered(nginx, headers, status):
    with nginx.client({**ACCEPT, **headers}) as client:
        found = client.post("/mcp", json=GREETING)
    assert found.status_code == status
    assert ("serverInfo" in found.text) == (status == 200)
    assert (status == 401) == found.headers.get("www-authenticate", "").startswith("Basic")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/health", 404), ("POST", "/mcp/", 404), ("GET", "/mcp", 405)],
)
def test_nothing_else_is_there(nginx, method, path, status):
    with nginx.client({**ACCEPT, **BASIC}) as client:
        assert client.request(method, path).status_code == status


def test_what_is_told_under_way_comes_under_way(nginx, ranker):
    """It is not kept back until the answer is complete."""
    ranker.script = [Reply("no letter", delay_s=2)]
    told = []

    async def tell(done, total, message):
        told.append((time.monotonic(), message))

    with Client(over_tls(nginx, BASIC)) as client:
        result = client.call("recognize_image", progress=tell, data=data(draw("red", 99)))
        ended = time.monotonic()
    assert Recognition.model_validate(result.structuredContent).label == "red"
    at, message = told[-1]
    assert message == "ranking 5 candidates"
    assert ended - at > 1


def test_who_goes_away_ends_the_call_of_the_model(nginx, ranker):
    ranker.script = [Reply("A", delay_s=30)]
    left = ranker.left
    with nginx.client({**ACCEPT, **BASIC}, timeout=2) as client:
        request = called("recognize_image", data=data(draw("red", 98)))
        with pytest.raises(Exception, match="timed out"):
            client.post("/mcp", json=request)
    end = time.monotonic() + 10
    while ranker.left == left:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_photos_of_any_size_within_the_limit_get_through(nginx, ranker):
    ranker.script = [Reply("no letter")]
    large = data(Image.effect_noise((1_600, 1_600), 100).convert("RGB"))
    assert len(large) > 3_000_000
    with nginx.client({**ACCEPT, **BASIC}, timeout=60) as client:
        answer(client.post("/mcp", json=called("recognize_image", data=large)))


@contextmanager
def connected(nginx):
    """A connection on which bytes are sent and received."""
    trusted = ssl.create_default_context(cafile=nginx.folder / "ca.pem")
    with (
        socket.create_connection(("127.0.0.1", nginx.port)) as plain,
        trusted.wrap_socket(plain, server_hostname=NAME) as secure,
    ):
        secure.settimeout(20)
        yield secure


def begun(length):
    """The head of a request with a body of so many bytes."""
    lines = ["POST /mcp HTTP/1.1", f"Host: {NAME}", f"Content-Length: {length}"]
    named = [f"{name}: {value}" for name, value in {**ACCEPT, **BASIC}.items()]
    return ("\r\n".join([*lines, *named]) + "\r\n\r\n").encode()


@pytest.mark.parametrize(("size", "status"), [(67 * 2**20, b""), (67 * 2**20 + 1, b"413")])
def test_a_body_that_is_too_large_is_refused_before_it_is_sent(nginx, size, status):
    with connected(nginx) as connection:
        connection.settimeout(2)
        connection.sendall(begun(size))
        try:
            found = connection.recv(4_096).split(b" ")[1]
        except TimeoutError:
            found = b""
    assert found == status


def test_slow_clients_are_dropped_and_hold_up_nobody(nginx_of, server):
    """Servers serve a hundred at a time; who is slow never reaches one."""
    quick = {"client_body_timeout     30s": "client_body_timeout 2s"}
    quick["client_header_timeout 10s"] = "client_header_timeout 2s"
    nginx = nginx_of([server.port], changes={**MANY, **quick})
    with ExitStack() as stack, nginx.client({**ACCEPT, **BASIC}, timeout=20) as client:
        slow = [stack.enter_context(connected(nginx)) for _ in range(150)]
        for number, connection in enumerate(slow):
            connection.sendall(begun(1_000) + b"{" if number < 10 else b"POST /m")
        assert client.post("/mcp", json=GREETING).status_code == 200
        assert {connection.recv(100)[9:12] for connection in slow} <= {b"", b"408"}
    reached = [line for line in nginx.logged if f":{server.port}" in line]
    assert len(reached) == 1


class Upstream:
    """In the place of a server: it reads requests, and drops or refuses or keeps them."""

    def __init__(self, does):
        self.asked = 0
        self._does = does
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._kept = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.recv(1 << 16)
            self.asked += 1
            if self._does == "keep":
                self._kept.append(connection)
                continue
            if self._does == "refuse":
                connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        for connection in self._kept:
            connection.close()


@pytest.mark.parametrize("does", ["drop", "refuse"])
def test_what_a_server_did_not_begin_is_asked_of_the_next(nginx_of, server, does):
    with Upstream(does) as upstream:
        nginx = nginx_of([upstream.port, server.port], changes=MANY)
        with nginx.client({**ACCEPT, **BASIC}, timeout=20) as client:
            for _ in range(20):
                assert client.post("/mcp", json=GREETING).status_code == 200
        assert upstream.asked > 5


def test_what_makes_servers_drop_it_is_tried_twice(nginx_of):
    with ExitStack() as stack:
        upstreams = [stack.enter_context(Upstream("drop")) for _ in range(4)]
        nginx = nginx_of([one.port for one in upstreams], changes=MANY)
        with nginx.client({**ACCEPT, **BASIC}) as client:
            assert client.post("/mcp", json=GREETING).status_code == 502
        assert sum(one.asked for one in upstreams) == 2


def test_an_address_may_ask_so_often(nginx_of, server):
    """With a password or without: it cannot be guessed quickly either."""
    nginx = nginx_of([server.port])
    with nginx.client(ACCEPT) as client:
        found = [client.post("/mcp", json=GREETING).status_code for _ in range(60)]
    assert found[:41] == [401] * 41
    assert 429 in found[41:]


def test_an_address_may_have_so_many_under_way(nginx_of):
    with Upstream("keep") as upstream:
        nginx = nginx_of([upstream.port], changes=MANY)

        def ask(_):
            with nginx.client({**ACCEPT, **BASIC}, timeout=3) as client:
                try:
                    return client.post("/mcp", json=GREETING).status_code
                except Exception as error:
                    return type(error).__name__

        with ThreadPoolExecutor(25) as threads:
            found = list(threads.map(ask, range(25)))
        assert upstream.asked == 20
    assert found.count(429) == 5


def test_a_user_stays_with_the_process_of_their_sessions(nginx_of, servers_of, variables):
    """Which teaching needs: the server asks a person back."""
    servers = servers_of(2, variables, ("--teach", "--allow-host", NAME))
    once = {
        "proxy_next_upstream       error http_503 non_idempotent;": "proxy_next_upstream error;"
    }
    nginx = nginx_of([one.port for one in servers], block=1, changes={**MANY, **once})
    for user in ("ann", "bob"):
        with Client(over_tls(nginx, basic(user)), elicits=True) as client:
            client.answer = {"action": "accept", "content": {"category": f"{user}'s"}}
            photos = [data(draw("yellow", i)) for i in range(3)]
            assert not client.call("teach_category", category=user, data=photos).isError
            for _ in range(5):
                assert f"{user}'s" in text(client.call("describe_category", category=f"{user}'s"))
            assert len(client.asked) == 1
