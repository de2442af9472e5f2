"""The streamable HTTP transport, on loopback, for who has the token."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import uvicorn
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from sse_starlette.sse import AppStatus
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rar_agent.errors import ConfigurationError
from rar_agent.telemetry import events

HOST = "127.0.0.1"
PATH = "/mcp"
SHORTEST_TOKEN = 16
"""Characters."""

MOST_AT_ONCE = 100
"""Connections and requests; what is over that is answered with 503."""

_log = events(__name__)

DRAIN_S = 30
"""For requests to end in, once a server without sessions is to end."""
_END_S = 1  # of one with sessions, whose open streams take all of it


class _Token:
    """Verifies the one token there is."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        """Who has it may do everything."""
        if not secrets.compare_digest(token.encode("utf-8", "replace"), self._token):
            return None
        return AccessToken(token=token, client_id="token", scopes=[])


class _Endpoint:
    """The manager of sessions as an ASGI application."""

    def __init__(self, manager: StreamableHTTPSessionManager) -> None:
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._manager.handle_request(scope, receive, send)


def build_app(
    server: Server[Any, Any],
    token: str,
    hosts: Sequence[str],
    origins: Sequence[str],
    stateless: bool = False,
    max_bytes: int = 50_000_000,
) -> Starlette:
    """The application: `/mcp` for who has the token, `/health` for load balancers.

    Args:
        server: What is served.
        token: That a request has to bear.
        hosts: Values of the header `Host` that are answered; others may be a web page that had its
            name resolved to this machine.
        origins: Values of the header `Origin` that are answered, where there is one.
        stateless: Whether each request stands alone, so that any process can answer any request.
        max_bytes: Of an image; a request may hold one in base64.
    """
    manager = StreamableHTTPSessionManager(
        server,
        stateless=stateless,
        security_settings=TransportSecuritySettings(
            allowed_hosts=list(hosts), allowed_origins=list(origins)
        ),
        max_request_body_size=max_bytes * 4 // 3 + 100_000,
    )

    # Without sessions a stream would have nothing to tell, and hold up the end.
    methods = ["POST"] if stateless else None

    async def health(request: Request) -> PlainTextResponse:
        del request
        return PlainTextResponse("ok\n")

    def lifespan(app: Starlette) -> AbstractAsyncContextManager[None]:
        del app
        return manager.run()

    return Starlette(
        routes=[
            Route(PATH, RequireAuthMiddleware(_Endpoint(manager), []), methods=methods),
            Route("/health", health),
        ],
        middleware=[Middleware(AuthenticationMiddleware, backend=BearerAuthBackend(_Token(token)))],
        lifespan=lifespan,
    )


def listen(port: int) -> socket.socket:
    """A listening socket on loopback; port 0 for any that is free.

    Raises:
        ConfigurationError: The port is taken.
    """
    try:
        listening = socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"Port {port} of {HOST} cannot be listened on: {error}.",
            "Choose another with --port, or 0 for any that is free.",
        ) from error
    # Connections inherit it; asyncio sets it for other kinds of sockets only. Without it the end of
    # a streamed answer waits 40 ms for the client to confirm its beginning.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def run_http(app: Starlette, listening: socket.socket, stateless: bool = False) -> None:
    """Serve until SIGINT or SIGTERM: then no connection is taken any more, and requests end.

    Args:
        app: What is served.
        listening: Where.
        stateless: Whether there are only requests, which may take `DRAIN_S`, and no open streams.
    """
    _log.info("server started", kind="mcp", port=listening.getsockname()[1])
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        limit_concurrency=MOST_AT_ONCE,
        timeout_graceful_shutdown=DRAIN_S if stateless else _END_S,
        lifespan="on",
    )
    AppStatus.enable_automatic_graceful_drain = False  # it cuts off answers on their way
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again when it has ended
        signal.signal(number, lambda *_: None)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))
