"""Finding prompt files: `prompts/<name>/<version>.yaml`, the user's before the shipped ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rar_agent.content import content_folders
from rar_agent.errors import ConfigurationError, NotFoundError
from rar_agent.prompts.check import check
from rar_agent.prompts.prompt import Prompt


@dataclass(frozen=True)
class Found:
    """A prompt's file.

    Attributes:
        name: Of the prompt.
        version: Of the prompt, from 1.
        path: Of the file.
        own: Whether it lies in the user's folder.
        hides: Whether there is a shipped one of the same name and version, which it hides.
    """

    name: str
    version: int
    path: Path
    own: bool
    hides: bool = False

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"


def own_folder(home: Path) -> Path:
    """Where the user's prompts lie."""
    return home.expanduser() / "prompts"


def is_name(name: str) -> bool:
    """Whether a prompt may be named so."""
    return name.replace("-", "_").isidentifier()


def _is_version(text: str) -> bool:
    return re.fullmatch("[1-9][0-9]*", text) is not None  # 01.yaml would be a second 1.yaml


def find_prompts(home: Path) -> list[Found]:
    """The files of all prompts there are, valid or not, by name and version."""
    found: dict[tuple[str, int], Found] = {}
    for folder in content_folders("prompts", home):
        for path in folder.glob("*/*.yaml"):
            if is_name(path.parent.name) and _is_version(path.stem):
                key, own = (path.parent.name, int(path.stem)), folder == own_folder(home)
                first = found.get(key)
                if first is None:
                    found[key] = Found(*key, path, own)
                elif first.own:
                    found[key] = Found(*key, first.path, own=True, hides=True)
    return [found[key] for key in sorted(found)]


def find_prompt(reference: str, home: Path) -> Path:
    """The file of `name@version`; the user's folder (RAR_HOME/prompts) comes first.

    Raises:
        NotFoundError: There is no such prompt.
    """
    name, _, version = reference.partition("@")
    if not is_name(name) or not _is_version(version):
        raise NotFoundError(
            f"'{reference}' names no prompt.", f"Write name@version, such as {_known(home)}."
        )
    for folder in content_folders("prompts", home):
        path = folder / name / f"{version}.yaml"
        if path.is_file():
            return path
    own = own_folder(home) / name / f"{version}.yaml"
    raise NotFoundError(
        f"There is no prompt '{reference}'.", f"There are {_known(home)}; yours would be {own}."
    )


def load_prompt(reference: str, home: Path) -> Prompt:
    """Load `name@version`; the user's folder (RAR_HOME/prompts) comes before the shipped one.

    Raises:
        NotFoundError: There is no such prompt.
        ConfigurationError: The file is not valid; the message has its path and line.
    """
    path = find_prompt(reference, home)
    prompt, problems = check(read_prompt(path), path)
    if prompt is None:
        first, *others = [problem for problem in problems if not problem.warning]
        more = f" ({len(others)} more: rar-agent prompts lint {reference})" if others else ""
        raise ConfigurationError(f"Prompt {path}:{first.line} {first.message}{more}.", first.fix)
    return prompt


def read_prompt(path: Path) -> bytes:
    """A prompt's file.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"Prompt {path} cannot be read: {error.strerror}.", "Let it be read, or move it."
        ) from error


def list_prompts(home: Path) -> list[str]:
    """References of all prompts there are."""
    return [found.reference for found in find_prompts(home)]


def _known(home: Path) -> str:
    return ", ".join(list_prompts(home)) or "none"
