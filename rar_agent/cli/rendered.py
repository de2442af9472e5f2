"""How a rendered prompt looks: as text, as a page, and as it is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from rar_agent.cli.show import err
from rar_agent.errors import InputError
from rar_agent.explained import about_preview, as_asked
from rar_agent.graph.preview import Preview
from rar_agent.images import Picture

if TYPE_CHECKING:  # the providers' packages take a second to import
    from rar_agent.models import Question

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem } h2 { font-size: 1rem; color: #777; margin: 2rem 0 .5rem }
pre { font: inherit; white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0 }
section { border-left: 3px solid #ddd; padding-left: 1rem }
p, figcaption { color: #777 } figure { display: inline-block; margin: .5rem .5rem .5rem 0 }
img { max-width: 100%; display: block } figcaption { font-size: .8rem }
"""


def text(preview: Preview) -> Text:
    """For a terminal: pictures are named in brackets."""
    whole = Text()
    for line in about_preview(preview):
        whole.append(f"{line}\n", style="dim")
    for number, question in enumerate(preview.questions, start=1):
        of = f", question {number}" if number > 1 else ""
        whole.append(messages_text(question, lambda p: as_asked(p, preview.photo), of))
    whole.rstrip()
    return whole


def messages_text(question: Question, named: Callable[[Picture], str], of: str = "") -> Text:
    """Its messages for a terminal.

    Args:
        question: That is asked.
        named: What stands for a picture.
        of: Said behind each role.
    """
    whole = Text()
    for message in question.messages:
        whole.append(f"\n--- {message.role}{of}\n", style="bold")
        for part in message.parts:
            if isinstance(part, Picture):
                whole.append(f"[{named(part)}]\n", style="cyan")
            else:
                whole.append(part)
    return whole


def page(title: str, body: str) -> str:
    """A whole page of HTML around what it holds."""
    title = escape(title)
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
    return "\n".join([head, f"<style>{_STYLE}</style><h1>{title}</h1>", body]) + "</html>\n"


def write_page(path: Path, page: str) -> None:
    """Write a page, and say where it is.

    Raises:
        InputError: It cannot be written.
    """
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"'{path}' cannot be written: {error.strerror}.", "Name a file in a folder there is."
        ) from error
    err.print(f"page: {path}", style="dim", soft_wrap=True)


def as_json(preview: Preview) -> str:
    """As an OpenAI-compatible server gets it, and what it is about."""
    from langchain_core.messages import convert_to_openai_messages

    from rar_agent.models.messages import as_langchain

    prompt = preview.prompt
    whole = {
        "prompt": prompt.reference,
        "prompt_hash": prompt.sha256,
        "ranker": preview.way,
        "memory": preview.memory,
        "candidates": [candidate.category.name for candidate in preview.candidates],
        "skipped": preview.skipped,
        "questions": [
            {
                "messages": convert_to_openai_messages(as_langchain(question.messages)),
                "settings": dict(question.settings),
                "schema": question.schema,
            }
            for question in preview.questions
        ],
    }
    return json.dumps(whole, ensure_ascii=False, indent=1)
