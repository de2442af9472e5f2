"""The form of a prompt file, as pydantic checks it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rar_agent.prompts.lines import Document, Problem
from rar_agent.prompts.message import Role
from rar_agent.prompts.prompt import Output

Place = tuple[str | int, ...]
"""Keys and numbers that lead to a value in a file."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Template(_Form):
    """One message."""

    role: Role
    content: str = Field(min_length=1)


class ModelSettings(_Form):
    """For the model, as LangChain names them."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: list[str] | None = None


class PromptFile(_Form):
    """A prompt file; `system` and `user` are short for two messages with the photo at the end."""

    name: str
    version: int = Field(ge=1)
    description: str = ""
    changelog: str = ""
    output: Output = "ranking"
    variables: list[str] | None = None
    messages: list[Template] = Field(default_factory=list)
    settings: ModelSettings = Field(default_factory=ModelSettings)
    hints: str = ""
    system: str | None = None
    user: str | None = None

    def templates(self) -> list[tuple[Place, Role, str]]:
        """Where each message's text stands, its role and its template."""
        found: list[tuple[Place, Role, str]] = [
            (("messages", number, "content"), message.role, message.content)
            for number, message in enumerate(self.messages)
        ]
        if self.system:
            found.append((("system",), "system", self.system))
        if self.user is not None:
            found.append((("user",), "user", self.user + "{{{photo}}}"))
        return found


@dataclass(frozen=True)
class Form:
    """A prompt file as far as it can be read.

    Attributes:
        file: What it says; what is amiss is left out, or as good as nothing.
        amiss: Keys at its top that are missing, or whose values are not valid.
        whole: Whether the text of every message is there.
    """

    file: PromptFile
    amiss: frozenset[str] = frozenset()
    whole: bool = True


_TEXTS = frozenset({"messages", "user", "system"})
_NOTHING = " "  # in place of a text that cannot be read


def read_form(document: Document) -> tuple[Form | None, list[Problem]]:
    """A document as a prompt file, and what is wrong with its form; None where it has none."""
    problems = [
        *document.repeated(),
        *document.repeated(("settings",)),
    ]
    data = document.data
    if not isinstance(data, dict):
        return None, [Problem(1, "is not a list of keys and values", "Write name: …, and so on.")]
    try:
        form = Form(PromptFile.model_validate(data))
    except ValidationError as error:
        problems += _problems(error, document)
        form = _as_far_as_valid(
            data, {str(at) for each in error.errors() for at in each["loc"][:1]}
        )
    file = form.file
    short = file.user is not None
    if not form.amiss & _TEXTS and (
        short == bool(file.messages) or (file.system is not None and not short)
    ):
        fix = "Give messages, or user and perhaps system."
        problems.append(Problem(1, "has no messages, or has them in two forms", fix))
        form = Form(file, form.amiss | _TEXTS, whole=False)
    return form, problems


def _as_far_as_valid(data: dict[Any, Any], amiss: set[str]) -> Form:
    """What is valid of a file, so that all else that is wrong with it is found too."""
    fields = PromptFile.model_fields
    kept = {key: data[key] for key in fields if key in data and key not in amiss}
    unread = amiss & _TEXTS
    if "messages" in amiss and isinstance(data.get("messages"), list):
        kept["messages"] = [_message(message) for message in data["messages"]]
        if all(message["content"] != _NOTHING for message in kept["messages"]):
            unread -= {"messages"}
    file = PromptFile.model_validate({"name": "", "version": 1, **kept})
    return Form(file, frozenset(amiss & set(fields)), not unread)


def _message(given: object) -> dict[str, Any]:
    """A message of which something is not valid; the user's, where nobody knows whose it is."""
    said = given if isinstance(given, dict) else {}
    role, content = said.get("role"), said.get("content")
    return {
        "role": role if role in get_args(Role) else "user",
        "content": content if isinstance(content, str) and content else _NOTHING,
    }


def _problems(error: ValidationError, document: Document) -> Iterator[Problem]:
    for each in error.errors():
        place, kind = each["loc"], each["type"]
        line = document.line(place)
        where = ".".join(str(step) for step in place)
        if kind == "extra_forbidden":
            keys = _keys(place)
            near = get_close_matches(str(place[-1]), keys, 1)
            meant = f"Is it '{near[0]}'? " if near else ""
            yield Problem(
                line, f"has an unknown key '{where}'", f"{meant}Keys are {', '.join(keys)}."
            )
        elif kind == "missing":
            yield Problem(line, f"has no '{where}'", "Add it.")
        else:
            yield Problem(line, f"'{where}' is not valid: {_said(each['msg'])}", "Correct it.")


def _keys(place: Place) -> list[str]:
    """Keys that there are where an unknown one was found."""
    forms: dict[str | int, type[BaseModel]] = {"messages": Template, "settings": ModelSettings}
    form = forms.get(place[0], PromptFile) if len(place) > 1 else PromptFile
    return list(form.model_fields)


def _said(message: str) -> str:
    return message[:1].lower() + message[1:]
