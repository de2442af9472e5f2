"""Who may talk to the page: whoever has its token, under its name, on the routes that it needs."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ROUTES = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json")
_FOLDERS = ("/assets/", "/static/", "/gradio_api/file=", "/gradio_api/heartbeat/")
_CALLS = tuple(
    f"/gradio_api/{name}"
    for name in (
        *("queue/join", "queue/data", "cancel", "reset"),
        *("upload", "upload_progress", "startup-events"),
    )
)
_LARGEST_CALL = 1_000_000  # bytes; photos are uploaded, calls name them

_HEADERS = {
    # Gradio's templates need eval and inline scripts; nothing may come from elsewhere or go there.
    b"content-security-policy": (
        b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        b"style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
        b"font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
        b"form-action 'self'; frame-ancestors 'none'"
    ),
    b"permissions-policy": b"camera=(self), microphone=(), geolocation=()",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}


class Guard:
    """Passes on what may pass, in front of everything that Gradio serves.

    Args:
        app: Gradio's.
        token: That the address has when it is first opened; a cookie has it from then on.
        names: Host names that the page answers under; any other may be a rebound one.
        cookie: Name of the cookie; cookies do not tell ports apart, so it should.
        uploads: Folder of what browsers uploaded.
    """

    def __init__(
        self, app: ASGIApp, token: str, names: frozenset[str], cookie: str, uploads: Path
    ) -> None:
        self._app = app
        self._token = token
        self._names = names
        self._cookie = cookie
        self._uploads = uploads.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # a websocket, which is then closed: the page uses none

        request = Request(scope, receive)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", []) if pair[0] not in _HEADERS]
                if not request.url.path.startswith("/assets/"):  # Gradio's own, and no secret
                    kept = [pair for pair in kept if pair[0] != b"cache-control"]
                    kept.append((b"cache-control", b"no-store"))
                message["headers"] = [*kept, *_HEADERS.items()]
            await send(message)

        refused = self._refusal(request)
        if refused is None and request.url.path == "/gradio_api/queue/join":
            body = await _body(receive)
            refused = self._call_refusal(body)
            receive = _again(body, receive)
        await (refused or self._app)(scope, receive, guarded)

    def _refusal(self, request: Request) -> Response | None:
        """What is answered in place of the app; None where the request may pass."""
        host = request.headers.get("host", "")
        if _name(host) not in self._names:
            return _refused(421, f"This page does not answer under the name '{host[:100]}'.")
        origin = request.headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return _refused(403, "Another page may not ask this one.")
        if request.method == "GET" and request.url.path == "/":
            given = parse_qs(request.url.query).get("token", [""])[0]
            if given and self._is_token(given):
                entered = RedirectResponse("/", 303)
                entered.set_cookie(self._cookie, self._token, httponly=True, samesite="lax")
                return entered
        if not self._is_token(request.cookies.get(self._cookie, "")):
            return _refused(401, "Open the address that rar-agent ui printed: it has the token.")
        path = request.url.path
        if path not in (*_ROUTES, *_CALLS) and not path.startswith(_FOLDERS):
            return _refused(404, "There is no such page.")
        return None

    def _call_refusal(self, body: bytes | None) -> Response | None:
        """Gradio, mounted, would copy any file that a call names, and fetch any URL."""
        if body is None:
            return _refused(413, "That is more than a call of this page says.")
        try:
            call = json.loads(body)
        except (ValueError, RecursionError):
            return _refused(400, "That is no JSON.")
        if not all(self._is_upload(path) for path in _paths(call)):
            return _refused(403, "There is no such upload.")
        return None

    def _is_upload(self, path: str) -> bool:
        try:
            return Path(path).resolve().is_relative_to(self._uploads)
        except (OSError, ValueError, RuntimeError):
            return False

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())


def _name(host: str) -> str:
    """The name in a Host header, without a port; empty where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _refused(status: int, why: str) -> Response:
    return PlainTextResponse(why + "\n", status)


async def _body(receive: Receive) -> bytes | None:
    """A request's body; None where it is too large."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _LARGEST_CALL:
            return None
    return body


def _again(body: bytes | None, receive: Receive) -> Receive:
    """Receives a body that was read before, then goes on."""
    left = [body or b""]

    async def once_more() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return once_more


def _paths(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """What is named as a file's path, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("path"), str):
                yield one["path"]
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
