"""A prompt and its rendering: logic-less mustache, with pictures where the template has them.

Values are put in with triple braces, `{{{name}}}`: double braces would HTML-escape an apostrophe.
Each is one line: a category's name cannot write an option of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.utils.mustache import render

from rar_agent.images import Picture
from rar_agent.prompts.message import Message, Role

Output = Literal[
    "ranking", "described-ranking", "rankings", "letter", "names", "name", "instructions"
]
"""What a prompt asks for: all letters sorted; the same after what is seen in words; all letters of
each of several crops sorted; one letter; the likeliest names of a list; a name of the model's own;
or nothing, as it instructs an agent."""

_SUPPLIED = frozenset(
    {"domain", "count", "options", "letter", "name", "aliases", "description", "exemplars"}
    | {"picture", "photo"}
)
SUPPLIED: Mapping[Output, frozenset[str]] = {
    "ranking": _SUPPLIED | {"example"},
    "described-ranking": _SUPPLIED | {"example"},
    "rankings": frozenset(
        {"domain", "count", "crops", "number", "photo", "options", "letter", "name"}
        | {"aliases", "description", "example"}
    ),
    "letter": _SUPPLIED,
    "names": frozenset({"domain", "count", "options", "name", "aliases", "description", "photo"}),
    "name": frozenset({"domain", "photo"}),
    "instructions": frozenset({"domain", "count"}),
}
"""Variables that the code supplies to a prompt of an output. `options` is a list; in it are
`letter`, `name`, `aliases`, `description` and the list `exemplars`, in which is `picture`. `crops`
is a list; in it are `number`, `photo` and the list `options`."""

_LETTERED = frozenset({"options", "letter", "name", "photo"})
REQUIRED: Mapping[Output, frozenset[str]] = {
    "ranking": _LETTERED,
    "described-ranking": _LETTERED,
    "rankings": _LETTERED | {"crops", "number"},
    "letter": _LETTERED,
    "names": frozenset({"options", "name", "photo"}),
    "name": frozenset({"photo"}),
    "instructions": frozenset(),
}
"""What a prompt of an output has to use; `photo` is the image that is asked about."""


@dataclass(frozen=True)
class Prompt:
    """A prompt at one version.

    Attributes:
        reference: `name@version`.
        sha256: First 12 hex digits of the file's hash.
        output: What it asks for.
        templates: Role and mustache template of each message.
        variables: Names that the templates use.
        description: What it is for.
        changelog: What is new in this version.
        settings: For the model, as LangChain names them: `temperature`, `max_tokens`, `stop`.
        hints: Which models it suits.
    """

    reference: str
    sha256: str
    output: Output
    templates: tuple[tuple[Role, str], ...]
    variables: frozenset[str]
    description: str = ""
    changelog: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    hints: str = ""

    def render(self, values: Mapping[str, Any]) -> tuple[Message, ...]:
        """The messages. Braces inside values are not expanded, line breaks become spaces.

        Args:
            values: What `SUPPLIED` names for the prompt's output; pictures as `Picture`.
        """
        # A value cannot know the mark, so no text can pass for a picture.
        mark, pictures = secrets.token_hex(16), list[Picture]()
        marked = _marked(dict(values), mark, pictures)
        return tuple(
            Message(role, tuple(_parts(render(template, marked), mark, pictures)))
            for role, template in self.templates
        )


def _marked(value: Any, mark: str, pictures: list[Picture]) -> Any:  # noqa: ANN401 - JSON-like
    """Values with a mark in place of each picture."""
    if isinstance(value, Picture):
        pictures.append(value)
        return f"\0{mark}:{len(pictures) - 1}\0"
    if isinstance(value, str):
        return " ".join(value.replace("\0", "").splitlines())
    if isinstance(value, Mapping):
        return {key: _marked(one, mark, pictures) for key, one in value.items()}
    if isinstance(value, Sequence):
        return [_marked(one, mark, pictures) for one in value]
    return value


def _parts(text: str, mark: str, pictures: Sequence[Picture]) -> Iterator[str | Picture]:
    for piece in text.split("\0"):
        if piece.startswith(mark):
            yield pictures[int(piece.partition(":")[2])]
        elif piece.strip():
            yield piece
