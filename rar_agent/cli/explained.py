"""What went to a model about one photo, and what came back, in a terminal."""

from __future__ import annotations

from rich.text import Text

from rar_agent.cli.rendered import messages_text
from rar_agent.explained import about, answered, as_sent, came, heading, listed, options_of
from rar_agent.graph.preview import Watched
from rar_agent.types import Recognition


def text(recognition: Recognition, seen: Watched) -> Text:
    """For a terminal.

    Args:
        recognition: What came of it.
        seen: Meanwhile.
    """
    whole = Text()
    exchanges = seen.exchanges
    for line in about(recognition, seen):
        whole.append(f"\n{line}", style="dim")
    for number, exchange in enumerate(exchanges, start=1):
        whole.append(f"\n\n=== {heading(number, exchanges)}\n", style="bold")
        whole.append(f"{listed(options_of(exchange))}\n" if exchange.options else "", style="dim")
        whole.append(messages_text(exchange.question, as_sent))
        whole.append(f"\n--- {came(exchange)}\n", style="bold")
        whole.append(answered(exchange))
    return whole
