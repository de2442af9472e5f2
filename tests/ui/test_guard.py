"""Who may talk to the page: nothing gets behind the guard but what may."""

import json
from pathlib import Path

import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("starlette", reason="the page needs the extra ui")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from rar_agent.ui.guard import Guard  # noqa: E402

TOKEN = "right-token"
JOIN = "/gradio_api/queue/join"
UPLOADS = Path("/nowhere/uploads")


class App:
    """Answers everything, and remembers it."""

    def __init__(self):
        self.seen = []

    async def __call__(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.seen.append((scope["path"], body))
        headers = [(b"content-security-policy", b"none of its own"), (b"cache-control", b"public")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"inside"})


@pytest.fixture
def app():
    return App()


def client(app, cookie=TOKEN, host="127.0.0.1:7860"):
    names = frozenset({"127.0.0.1", "localhost", "::1"})
    guard = Guard(app, TOKEN, names, "rar-agent-ui-7860", UPLOADS)
    cookies = {"rar-agent-ui-7860": cookie} if cookie is not None else {}
    transport = httpx.ASGITransport(guard)
    return httpx.AsyncClient(
        transport=transport,
        base_url="http://127.0.0.1:7860",
        headers={"host": host},
        cookies=cookies,
    )


@pytest.mark.parametrize("cookie", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "tök€n".encode()])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/config"),
        ("GET", "/assets/index.js"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/queue/data?session_hash=1"),
        ("POST", JOIN),
        ("POST", "/gradio_api/upload"),
        ("GET", "/nowhere"),
        ("OPTIONS", "/"),
    ],
)
async def test_nothing_is_had_without_the_token(app, cookie, method, path):
    cookie = cookie.decode("latin-1") if isinstance(cookie, bytes) else cookie
    headers = {"cookie": f"rar-agent-ui-7860={cookie}".encode("latin-1")} if cookie else {}
    async with client(app, None) as asking:
        found = await asking.request(method, path, headers=headers)
    assert found.status_code == 401
    assert app.seen == []
    assert TOKEN not in found.text


async def test_the_address_with_the_token_sets_a_cookie_that_scripts_do_not_see(app):
    async with client(app, None) as asking:
        entered = await asking.get("/", params={"token": TOKEN})
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        found = await asking.get("/")
    assert found.text == "inside"
    assert [path for path, _ in app.seen] == ["/"]


@pytest.mark.parametrize("token", ["wrong", "", TOKEN.upper(), "é"])
async def test_a_wrong_token_sets_none(app, token):
    async with client(app, None) as asking:
        refused = await asking.get("/", params={"token": token})
    assert refused.status_code == 401
    assert "set-cookie" not in refused.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "127.0.0.2", "[::"]
)
async def test_a_rebound_name_is_not_answered_under(app, host):
    async with client(app, host=host) as asking:
        refused = await asking.get("/")
        with_token = await asking.get("/", params={"token": TOKEN})
    assert refused.status_code == with_token.status_code == 421
    assert app.seen == []


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "localhost:9000", "[::1]:1"])
async def test_loopback_is_answered_under_whatever_the_port(app, host):
    """A forwarded port is another one."""
    async with client(app, host=host) as asking:
        assert (await asking.get("/")).status_code == 200
        own = {"origin": f"http://{host}"}
        assert (await asking.post(JOIN, content=b"{}", headers=own)).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:7860", ""]
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", JOIN)])
async def test_another_page_may_not_ask(app, origin, method, path):
    async with client(app) as asking:
        refused = await asking.request(method, path, content=b"{}", headers={"origin": origin})
    assert refused.status_code == 403
    assert app.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://evil.example/",
        "/gradio_api/run/predict",
        "/gradio_api/call/recognise",
        "/gradio_api/api/predict",
        "/gradio_api/vibe-edit/",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/gradio_api/stream/1/1/1/playlist.m3u8",
        "/docs",
        "/monitoring",
        "/login",
    ],
)
async def test_what_the_page_does_not_need_is_not_there(app, path):
    async with client(app) as asking:
        assert (await asking.get(path)).status_code == 404
        assert (await asking.post(path, content=b"{}")).status_code == 404
    assert app.seen == []


@pytest.mark.parametrize(
    "path",
    [
        *("http://evil.example/a.png", "HTTPS://x/y", "file:///nowhere/uploads/a.png"),
        *("/etc/passwd", "/nowhere/uploads/../x", "/nowhere/uploads2/a", "a.png", "", "\0", "~"),
        "x" * 10_000,
    ],
)
async def test_a_call_names_uploads_and_no_other_file(app, path):
    call = {"data": [1, [{"a": {"path": path, "meta": {"_type": "gradio.FileData"}}}]]}
    upload = {"data": [{"path": "/nowhere/uploads/a/b.png", "url": "http://127.0.0.1:7860/b.png"}]}
    async with client(app) as asking:
        refused = await asking.post(JOIN, json=call)
        assert (refused.status_code, refused.text) == (403, "There is no such upload.\n")
        assert (await asking.post(JOIN, json=upload)).status_code == 200
    assert [json.loads(body) for _, body in app.seen] == [upload]


PLAIN = st.none() | st.integers() | st.text(max_size=5)
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(JSON)
async def test_other_calls_arrive_as_they_were_sent(call):
    app, body = App(), json.dumps(call).encode()
    async with client(app) as asking:
        answered = await asking.post(JOIN, content=body)
    if answered.status_code == 200:
        assert app.seen == [(JOIN, body)]
    else:  # a path may have been drawn
        assert '"path": "' in json.dumps(call)


async def test_a_call_that_is_too_large_or_no_json_is_refused(app):
    async with client(app) as asking:
        assert (await asking.post(JOIN, content=b" " * 1_000_001)).status_code == 413
        assert (await asking.post(JOIN, content=b"[" * 900_000)).status_code == 400
        assert (await asking.post(JOIN, content=b"{")).status_code == 400
        whole = await asking.post("/gradio_api/upload", content=b" " * 1_000_001)
    assert whole.status_code == 200
    assert [path for path, _ in app.seen] == ["/gradio_api/upload"]


async def test_every_answer_says_what_a_browser_may_do(app):
    async with client(app) as asking:
        inside, outside = await asking.get("/"), await asking.get("/nowhere")
        asset = await asking.get("/assets/a.js")
    for answer in (inside, outside, asset):
        [policy] = answer.headers.get_list("content-security-policy")
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "http" not in policy.replace("https:", "http")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert inside.headers.get_list("cache-control") == ["no-store"]
    assert asset.headers.get_list("cache-control") == ["public"]


async def test_websockets_get_nowhere(app):
    said = []

    async def send(message):
        said.append(message)

    guard = Guard(app, TOKEN, frozenset({"127.0.0.1"}), "c", UPLOADS)
    await guard({"type": "websocket", "path": "/"}, None, send)
    assert app.seen == said == []
