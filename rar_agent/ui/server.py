"""Serving the page, from a socket and a temporary folder of its own."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn

from rar_agent.errors import ConfigurationError
from rar_agent.settings import Settings
from rar_agent.telemetry import events

MOST_AT_ONCE = 100
"""Connections and requests; an open page keeps a few. What is over that is answered with 503."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_log = events(__name__)

_GRADIO = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def serve(
    settings: Settings,
    host: str,
    port: int,
    names: Sequence[str],
    ready: Callable[[str], object],
) -> None:
    """Serve until the process is told to stop.

    Args:
        settings: What is asked, and all about it.
        host: Address to listen at.
        port: To listen at; 0: a free one.
        names: Host names that it answers under beside this address and loopback.
        ready: Told the page's address, with the token, when it can be opened.

    Raises:
        ConfigurationError: It cannot listen there, or there is no place for temporary files.
    """
    # uvicorn, when it has shut down, raises what it was told by anew; a default would end us here.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _listening(host, port) as listening, _temporary() as place:
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(32)
        app = application(settings, Path(place), token, frozenset({host, *LOOPBACK, *names}), port)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=MOST_AT_ONCE,
            timeout_graceful_shutdown=1,
        )
        shown = f"[{host}]" if ":" in host else host
        server = _Server(config, lambda: ready(f"http://{shown}:{port}/?token={token}"))
        _log.info("server started", kind="ui", port=port)
        server.run(sockets=[listening])


def application(
    settings: Settings, place: Path, token: str, names: frozenset[str], port: int
) -> Any:  # noqa: ANN401 - an ASGI application
    """The page behind its guard.

    Args:
        settings: What is asked, and all about it.
        place: Folder for uploads.
        token: That opens it.
        names: Host names that it answers under.
        port: That it listens at.
    """
    os.environ.update(_GRADIO, GRADIO_TEMP_DIR=str(place))  # read when Gradio is imported
    import gradio as gr
    from fastapi import FastAPI

    from rar_agent.ui.desk import Desk
    from rar_agent.ui.guard import Guard
    from rar_agent.ui.page import build, head, theme

    page = build(Desk(settings, place))
    app = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        "/",
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        max_file_size=settings.max_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        head=head(),
    )
    return Guard(app, token, names, f"rar-agent-ui-{port}", place)


class _Server(uvicorn.Server):
    """Says when it can be asked."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _temporary() -> TemporaryDirectory[str]:
    try:
        return TemporaryDirectory(prefix="rar-agent-ui-")
    except OSError as error:
        raise ConfigurationError(
            f"No folder for temporary files can be written: {error.strerror}.",
            "Set TMPDIR to one with room.",
        ) from error


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
            made.bind(address)
        except OSError:
            made.close()
            raise
    except OSError as error:
        raise ConfigurationError(
            f"The page cannot listen at {host}:{port}: {error.strerror}.",
            "Give another --port, 0 for a free one, or another --host.",
        ) from error
    return made
