"""The prompt library over `prompts/<name>/<version>.yaml`: logic-less mustache, checked on load.

Values are put in with triple braces, `{{{name}}}`: double braces would HTML-escape an apostrophe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from langchain_core.utils.mustache import ChevronError, render, tokenize
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rar_agent.content import content_folders
from rar_agent.errors import ConfigurationError, NotFoundError

VARIABLES: Mapping[str, frozenset[str]] = {
    "rank": frozenset(
        {"domain", "count", "example", "options", "letter", "name", "aliases", "description"}
    )
}
"""What the code supplies to prompts of a name."""

REQUIRED: Mapping[str, frozenset[str]] = {"rank": frozenset({"options", "letter", "name"})}
"""What a prompt of a name has to use."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    version: int = Field(ge=1)
    description: str = ""
    system: str
    user: str


@dataclass(frozen=True)
class Prompt:
    """A prompt at one version.

    Attributes:
        reference: `name@version`.
        sha256: First 12 hex digits of the file's hash.
        system: Mustache template of the system message.
        user: Mustache template of the user's message; the image follows it.
    """

    reference: str
    sha256: str
    system: str
    user: str

    def render(self, values: Mapping[str, Any]) -> tuple[str, str]:
        """The system and user texts. Braces inside values are not expanded."""
        return render(self.system, dict(values)), render(self.user, dict(values))


def load_prompt(reference: str, home: Path) -> Prompt:
    """Load `name@version`; the user's folder (RAR_HOME/prompts) comes before the shipped one.

    Raises:
        NotFoundError: There is no such prompt.
        ConfigurationError: The file is not valid, or uses a variable that is not supplied.
    """
    name, _, version = reference.partition("@")
    if name not in VARIABLES or not version.isdigit():
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
    used = _variables(file.system, path) | _variables(file.user, path)
    unknown, missing = used - VARIABLES[name], REQUIRED[name] - used
    if unknown or missing:
        what = f"uses {_listed(unknown)}" if unknown else f"does not use {_listed(missing)}"
        raise ConfigurationError(
            f"Prompt {path} {what}.", f"Supplied are {_listed(VARIABLES[name])}."
        )
    digest = hashlib.sha256(data).hexdigest()[:12]
    return Prompt(f"{name}@{version}", digest, file.system, file.user)


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
