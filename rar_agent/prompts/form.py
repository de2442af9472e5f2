"""The form of a prompt file, as pydantic checks it."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

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

    @model_validator(mode="after")
    def _one_form(self) -> PromptFile:
        short = self.user is not None
        if short == bool(self.messages) or (self.system is not None and not short):
            raise ValueError("Give messages, or user and perhaps system")
        return self

    def templates(self) -> list[tuple[Place, Role, str]]:
        """Where each message's text stands, its role and its template."""
        if self.user is None:
            return [
                (("messages", number, "content"), message.role, message.content)
                for number, message in enumerate(self.messages)
            ]
        system: list[tuple[Place, Role, str]] = (
            [(("system",), "system", self.system)] if self.system else []
        )
        return [*system, (("user",), "user", self.user + "{{{photo}}}")]


def read_form(document: Document) -> tuple[PromptFile | None, list[Problem]]:
    """A document as a prompt file; None where it is not one, for the problems that are given."""
    problems = [
        *document.repeated(),
        *document.repeated(("settings",)),
    ]
    if not isinstance(document.data, dict):
        return None, [Problem(1, "is not a list of keys and values", "Write name: …, and so on.")]
    try:
        return PromptFile.model_validate(document.data), problems
    except ValidationError as error:
        return None, [*problems, *_problems(error, document)]


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
        elif not place:
            yield Problem(
                line,
                "has no messages, or has them in two forms",
                f"{each['msg'].removeprefix('Value error, ')}.",
            )
        else:
            yield Problem(line, f"'{where}' is not valid: {_said(each['msg'])}", "Correct it.")


def _keys(place: Place) -> list[str]:
    """Keys that there are where an unknown one was found."""
    forms: dict[str | int, type[BaseModel]] = {"messages": Template, "settings": ModelSettings}
    form = forms.get(place[0], PromptFile) if len(place) > 1 else PromptFile
    return list(form.model_fields)


def _said(message: str) -> str:
    return message[:1].lower() + message[1:]
