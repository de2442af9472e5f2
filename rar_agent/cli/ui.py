"""`rar-agent ui`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from rar_agent.cli.options import BaseUrl, Model, PromptName, RankerName
from rar_agent.errors import ConfigurationError


def ui(
    memory: Annotated[str | None, typer.Option(help="Memory to begin with.")] = None,
    model: Model = None,
    base_url: BaseUrl = None,
    ranker: RankerName = None,
    prompt: PromptName = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: a free one.")] = 7860,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Host name that it is reached under; may be repeated."),
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """Serve a page to recognise, teach, browse memories and compare prompts."""
    if find_spec("gradio") is None:
        raise ConfigurationError(
            "The page needs Gradio, which is not installed.", "Run: pip install 'rar-agent[ui]'"
        )
    from rar_agent.garbage import share_arenas
    from rar_agent.settings import load_settings
    from rar_agent.ui.server import LOOPBACK, serve

    settings = load_settings(
        memory=memory, model=model, base_url=base_url, ranker=ranker, prompt=prompt
    )
    if host not in LOOPBACK:
        typer.echo(
            "warning: whoever can listen on the network reads along: traffic is not encrypted",
            err=True,
        )

    def ready(address: str) -> None:
        typer.echo(f"{address}\nCtrl-C ends it; the address holds a token, so keep it to yourself")
        if browser:
            import webbrowser

            webbrowser.open(address)

    share_arenas()
    try:
        serve(settings, host, port, name or (), ready)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
