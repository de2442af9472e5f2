"""`rar-agent mcp`."""

from __future__ import annotations

import atexit
import os
import secrets
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from rar_agent.errors import ConfigurationError, InputError

TOKEN = "RAR_MCP_TOKEN"  # noqa: S105 - a variable's name


def mcp(
    http: Annotated[
        bool, typer.Option("--http", help="Serve over HTTP on loopback, in place of stdio.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="With --http; 0: any that is free.")
    ] = 8765,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="With --http: also answer to this name, of a proxy in front."),
    ] = None,
    stateless: Annotated[
        bool, typer.Option("--stateless", help="With --http: any process answers any request.")
    ] = False,
    teach: Annotated[
        bool, typer.Option("--teach", help="Let clients propose to teach; a person approves.")
    ] = False,
    memory: Annotated[str | None, typer.Option(help="Memory that is asked by default.")] = None,
    model: Annotated[str | None, typer.Option(help="Multimodal LLM that ranks.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Server of the model.")] = None,
) -> None:
    """Serve recognize_image and memories over the Model Context Protocol."""
    from rar_agent.agents.mcp.server import build_server
    from rar_agent.garbage import share_arenas
    from rar_agent.settings import load_settings

    share_arenas()
    settings = load_settings(memory=memory, model=model, base_url=base_url)
    if (stateless or allow_host) and not http:
        raise InputError("--stateless and --allow-host go with --http.", "Add --http.")
    if stateless and teach:
        raise InputError(
            "--teach needs a session, to ask a person in; --stateless has none.",
            "Leave one of them out.",
        )
    # Behind a balancer, whoever listens can answer.
    server = build_server(settings, remote=http, teach=teach, loaded=stateless)
    if not http:
        from rar_agent.agents.mcp.stdio import run_stdio

        if sys.stdin.isatty():
            typer.echo(
                "rar-agent: a client speaks here, as docs/mcp.md says; Ctrl-C ends", err=True
            )
        with _leaving_at_once():
            run_stdio(server)
        return
    from rar_agent.agents.mcp.http import HOST, PATH, build_app, listen, run_http

    token, listening = _token(), listen(port)
    at = [f"{name}:{listening.getsockname()[1]}" for name in (HOST, "localhost")]
    names = allow_host or []
    app = build_app(
        server,
        token,
        hosts=[*at, *names],
        origins=[*(f"http://{host}" for host in at), *(f"https://{name}" for name in names)],
        stateless=stateless,
        max_bytes=settings.max_bytes,
    )
    typer.echo(f"rar-agent: http://{at[0]}{PATH}", err=True)
    if not os.environ.get(TOKEN):
        typer.echo(f"token: {token} (of this run; {TOKEN} sets one)", err=True)
    with _leaving_at_once():
        run_http(app, listening, stateless)


@contextmanager
def _leaving_at_once() -> Iterator[None]:
    """End the process without Python's cleaning up, where all went well.

    Once torch is there that takes two seconds, and clients kill what takes longer. What others want
    done at exit is done: registered first, this runs last.
    """
    ended = threading.Event()
    atexit.register(lambda: os._exit(0) if ended.is_set() else None)
    yield
    ended.set()


def _token() -> str:
    from rar_agent.agents.mcp.http import SHORTEST_TOKEN

    token = os.environ.get(TOKEN, "")
    if token and len(token) < SHORTEST_TOKEN:
        raise ConfigurationError(
            f"{TOKEN} has {len(token)} characters, which can be guessed.",
            f"Use {SHORTEST_TOKEN} or more: python -c 'import secrets; "
            "print(secrets.token_urlsafe())'",
        )
    return token or secrets.token_urlsafe(32)
