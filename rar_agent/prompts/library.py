"""Finding and checking prompt files: `prompts/<name>/<version>.yaml`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import yaml
from langchain_core.utils.mustache import ChevronError, tokenize
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rar_agent.content import content_folders
from rar_agent.errors import ConfigurationError, NotFoundError
from rar_agent.prompts.message import Role
from rar_agent.prompts.prompt import REQUIRED, SUPPLIED, Output, Prompt


class _Template(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Role
    content: str = Field(min_length=1)


class _File(BaseModel):
    """The format; `system` and `user` are short for two messages with the photo at the end."""

    model_config = ConfigDict(extra="forbid")
    name: str
    version: int = Field(ge=1)
    description: str = ""
    changelog: str = ""
    output: Output = "ranking"
    variables: list[str] | None = None
    messages: list[_Template] = Field(default_factory=list)
    settings: dict[Literal["temperature", "max_tokens", "stop"], Any] = Field(default_factory=dict)
    hints: str = ""
    system: str | None = None
    user: str | None = None

    @model_validator(mode="after")
    def _one_form(self) -> _File:
        short = self.user is not None
        if short == bool(self.messages) or (self.system is not None and not short):
            raise ValueError("give messages, or system and user")
        return self

    def templates(self) -> tuple[tuple[Role, str], ...]:
        if self.user is None:
            return tuple((message.role, message.content) for message in self.messages)
        system: tuple[tuple[Role, str], ...] = (("system", self.system),) if self.system else ()
        return (*system, ("user", self.user + "{{{photo}}}"))


def load_prompt(reference: str, home: Path) -> Prompt:
    """Load `name@version`; the user's folder (RAR_HOME/prompts) comes before the shipped one.

    Raises:
        NotFoundError: There is no such prompt.
        ConfigurationError: The file is not valid, or uses a variable that is not supplied.
    """
    name, _, version = reference.partition("@")
    if not name.replace("-", "_").isidentifier() or not version.isdigit():
        raise NotFoundError(
            f"'{reference}' names no prompt.", f"Write name@version, such as {_known(home)}."
        )
    for folder in content_folders("prompts", home):
        path = folder / name / f"{int(version)}.yaml"
        if path.is_file():
            return _parse(path, name, int(version))
    own = home.expanduser() / "prompts" / name / f"{int(version)}.yaml"
    raise NotFoundError(
        f"There is no prompt '{reference}'.", f"There are {_known(home)}; yours would be {own}."
    )


def list_prompts(home: Path) -> list[str]:
    """References of all prompts there are."""
    found = {
        f"{path.parent.name}@{path.stem}"
        for folder in content_folders("prompts", home)
        for path in folder.glob("*/*.yaml")
    }
    return sorted(found)


def _known(home: Path) -> str:
    return ", ".join(list_prompts(home)) or "none"


def _parse(path: Path, name: str, version: int) -> Prompt:
    data = path.read_bytes()
    try:
        file = _File.model_validate(yaml.safe_load(data))
    except (yaml.YAMLError, ValidationError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"Prompt {path} is not valid: {error}.", "Correct it.") from error
    if (file.name, file.version) != (name, version):
        raise ConfigurationError(
            f"Prompt {path} says it is {file.name}@{file.version}.",
            f"Its place says {name}@{version}: make them agree.",
        )
    used = set[str]()
    for _, template in file.templates():
        used |= _variables(template, path)
    supplied = SUPPLIED[file.output]
    unknown, missing = used - supplied, REQUIRED - used
    if unknown or missing:
        what = f"uses {_listed(unknown)}" if unknown else f"does not use {_listed(missing)}"
        raise ConfigurationError(f"Prompt {path} {what}.", f"Supplied are {_listed(supplied)}.")
    return Prompt(
        f"{name}@{version}",
        hashlib.sha256(data).hexdigest()[:12],
        file.output,
        file.templates(),
        frozenset(used),
        file.description,
        file.changelog,
        dict(file.settings),
        file.hints,
    )


def _variables(template: str, path: Path) -> set[str]:
    used = set()
    try:
        tokens = list(tokenize(template))
    except ChevronError as error:
        raise ConfigurationError(
            f"Prompt {path} is not mustache: {error}.", "Correct it."
        ) from error
    for kind, key in tokens:
        if kind == "variable":
            raise ConfigurationError(
                f"Prompt {path} uses {{{{{key}}}}}, which HTML-escapes its value.",
                f"Write {{{{{{{key}}}}}}}.",
            )
        if kind == "partial":
            raise ConfigurationError(f"Prompt {path} includes '{key}'.", "Write the text out.")
        if kind in ("no escape", "section", "inverted section"):
            used.add(key)
    return used


def _listed(names: frozenset[str] | set[str]) -> str:
    return ", ".join(sorted(names))
