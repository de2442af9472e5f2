"""How a rendered prompt looks: as text, as a page, and as it is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from rar_agent.cli.show import counted, err, size
from rar_agent.errors import InputError
from rar_agent.graph.preview import Preview
from rar_agent.images import MIME_TYPE, Picture

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
    for line in _about(preview):
        whole.append(f"{line}\n", style="dim")
    for number, question in enumerate(preview.questions, start=1):
        of = f", question {number}" if number > 1 else ""
        whole.append(messages_text(question, lambda p: _named(p, preview.photo), of))
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


def page(preview: Preview) -> str:
    """A page of HTML that holds its pictures."""
    parts = [f"<p>{escape(line)}</p>" for line in _about(preview)]
    for number, question in enumerate(preview.questions, start=1):
        of = f"question {number}, "
        parts.append(messages_page(question, lambda p: _named(p, preview.photo), of))
    return whole_page(preview.prompt.reference, parts)


def messages_page(question: Question, named: Callable[[Picture], str], of: str) -> str:
    """Its messages as HTML, with their pictures; see `messages_text`."""
    parts = []
    for message in question.messages:
        parts.append(f"<h2>{escape(of)}{message.role}</h2><section>")
        for part in message.parts:
            if isinstance(part, Picture):
                parts.append(
                    f'<figure><img src="data:{MIME_TYPE};base64,{part.base64}">'
                    f"<figcaption>{escape(named(part))}</figcaption></figure>"
                )
            else:
                parts.append(f"<pre>{escape(part.strip(chr(10)))}</pre>")
        parts.append("</section>")
    return "\n".join(parts)


def whole_page(title: str, parts: Sequence[str]) -> str:
    """A page of HTML, of parts of it."""
    title = escape(title)
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
    return "\n".join([head, f"<style>{_STYLE}</style><h1>{title}</h1>", *parts]) + "</html>\n"


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


def _about(preview: Preview) -> Iterator[str]:
    """What this is, a line each."""
    prompt, questions = preview.prompt, preview.questions
    number = str(len(preview.candidates))
    if len(preview.candidates) < preview.retrieved:
        number += f" of {preview.retrieved}"
    yield (
        f"{prompt.reference} {prompt.sha256}: {preview.way}, {counted(len(questions), 'question')} "
        f"about {number} candidates of {preview.memory}"
    )
    pictures = [
        part
        for question in questions
        for message in question.messages
        for part in message.parts
        if isinstance(part, Picture)
    ]
    sent = f"{counted(len(pictures), 'picture')}, {size(sum(len(p.jpeg) for p in pictures))}"
    settings = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in prompt.settings.items()
    )
    yield f"{sent}; {settings or 'no settings'}"
    if preview.skipped:
        yield f"recognize would not ask this: {preview.skipped.removeprefix('not ranked: ')}"


def _named(picture: Picture, photo: Picture) -> str:
    kind = "photo" if picture == photo else "exemplar"
    return f"{kind} {picture.width}x{picture.height}, {size(len(picture.jpeg))}"
