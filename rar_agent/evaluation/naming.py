"""A multimodal LLM asked by itself, without retrieval: among as many names as fit, or for any."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from random import Random

from rar_agent.errors import ConfigurationError, ProviderError
from rar_agent.evaluation.record import Answer, Ranked
from rar_agent.images import AdmittedImage, to_picture
from rar_agent.loop import Call, end
from rar_agent.models import Answer as Said
from rar_agent.models import ChatModel, Question
from rar_agent.prompts import Output, Prompt
from rar_agent.ranking.json_answers import json_values
from rar_agent.ranking.parser import LONGEST, without_thoughts
from rar_agent.types import Category

MOST_NAMED = 5
"""Names of an answer that count; more cannot be top-5."""
_RAW = 1_000
_LONGEST_NAME = 200
"""Characters, as of a category."""
_MOST_WORDS = 6
"""Of a line that is a name, and no sentence."""
_CHARACTERS_A_TOKEN = 3
"""Of names, which are rarer words than most text: on the safe side."""


@dataclass(frozen=True)
class Named:
    """What a model named.

    Attributes:
        answer: The names that could be read, best first.
        asked: How it was asked.
    """

    answer: Answer
    asked: Ranked


class Namer:
    """Asks a chat model what a photo shows, one call a photo.

    Args:
        model: The chat model; it has to take images.
        prompt: One that asks for `names`, with options, or for a `name`, without.
        domain: What kind of categories these are.
        options: Categories to choose from; none: any name.
        image_side: Longest side of the image as the model sees it, in pixels.

    Raises:
        ConfigurationError: The prompt asks for something else.
    """

    def __init__(
        self,
        model: ChatModel,
        prompt: Prompt,
        domain: str,
        options: Sequence[Category],
        image_side: int,
    ) -> None:
        wanted: Output = "names" if options else "name"
        if prompt.output != wanted:
            raise ConfigurationError(
                f"Prompt {prompt.reference} asks for a {prompt.output}, and {wanted} is wanted.",
                f"Take one whose output is {wanted}.",
            )
        self._model, self._prompt, self._image_side = model, prompt, image_side
        self._values = {
            "domain": domain or "closely related categories",
            "count": len(options),
            "options": [
                {"name": one.name, "aliases": ", ".join(one.aliases), "description": ""}
                for one in options
            ],
        }
        self._options = options
        self._known = _recognised(options)

    def ask(self, images: Sequence[AdmittedImage]) -> Iterator[tuple[int, Named | ProviderError]]:
        """Ask about images, at the same time as far as the model allows.

        Yields:
            What became of each as soon as it is known, with its position; an error where the model
            could not be asked, `BudgetError` for want of money: others may be answered still.
        """
        going = [Call(self._named(self.question(image))) for image in images]
        positions = {call.done: position for position, call in enumerate(going)}
        try:
            for done in as_completed(positions):
                yield positions[done], done.result()
        finally:
            end(going)

    def question(self, image: AdmittedImage) -> Question:
        """What is asked about an image."""
        values = {**self._values, "photo": to_picture(image.rgb, self._image_side)}
        return Question(self._prompt.render(values), self._prompt.settings, self._schema)

    @property
    def _schema(self) -> dict[str, object]:
        # An enum of a thousand names is more than servers take; what is said is looked up.
        text = {"type": "string"}
        properties = (
            {"names": {"type": "array", "items": text}} if self._options else {"name": text}
        )
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    async def _named(self, question: Question) -> Named | ProviderError:
        try:
            said = await self._model.aask(question)
        except ProviderError as error:
            return error
        return self._read(said)

    def _read(self, said: Said) -> Named:
        heard = list(spoken_names(said.text, any_name=not self._options))
        if self._options:
            found = [self._known.get(name) or self._known.get(_key(name)) for name in heard]
            names = tuple(dict.fromkeys(filter(None, found)))[:MOST_NAMED]
            repairs = len(heard[:MOST_NAMED]) - len(names)
        else:
            names, repairs = tuple(heard[:1]), 0
        return Named(
            Answer(names=names),
            Ranked(
                model=said.model,
                ranker="alone",
                prompt=self._prompt.reference,
                prompt_hash=self._prompt.sha256,
                parse_status=("repaired" if repairs > 0 else "exact") if names else "failed",
                repairs=max(0, repairs),
                calls=1,
                usage=said.usage,
                shown=len(self._options),
                raw=said.text[:_RAW],
            ),
        )


def that_fit(options: Sequence[Category], tokens: int, seed: int) -> list[Category]:
    """Categories in an order drawn by a seed, as many as fit.

    Args:
        options: All of them.
        tokens: For their names and aliases, estimated as three characters each.
        seed: Of the order, which also decides what is left out.

    Returns:
        At least one, where there is one.
    """
    left, kept = tokens * _CHARACTERS_A_TOKEN, list[Category]()
    for option in Random(seed).sample(options, len(options)):
        left -= len(option.name) + sum(map(len, option.aliases)) + 2 * _CHARACTERS_A_TOKEN
        if left < 0 and kept:
            break
        kept.append(option)
    return kept


def spoken_names(text: str, any_name: bool = False) -> Iterator[str]:
    """Names in an answer, best first: the strings of its JSON, else its lines.

    Args:
        text: The answer, in whatever form it came.
        any_name: Whether no list was given that could tell a name from another line: then the
            answer has to be JSON, or one line that is as short as a name.
    """
    text = without_thoughts(text)[-LONGEST:]
    values = list(json_values(text))
    from_json = [name for value in values for name in _strings(value)]
    lines = [] if values else [line for line in text.splitlines() if line.strip()]
    for name in from_json or ([] if any_name and len(lines) > 1 else lines):
        bare = re.sub(r"^[\s\-*•]*(?:\d{1,2}[.):]\s+)?", "", name)
        tidy = " ".join(re.sub(r"[*`\"“”]+", "", bare).split()).rstrip(" .,;")
        words = len(re.findall(r"\w+", tidy))
        if words and (from_json or not any_name or words <= _MOST_WORDS):
            yield tidy[:_LONGEST_NAME]


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, dict):
        asked = [value[key] for key in ("names", "name") if key in value]
        for one in asked or value.values():  # what else it says is no name
            yield from _strings(one)


def _recognised(options: Sequence[Category]) -> dict[str, str]:
    """Names by what they are recognised by: as they stand, then folded, then by an alias.

    What would mean two of them means neither.
    """
    known = {one.name: one.name for one in options}
    for spellings in (
        [(_key(one.name), one.name) for one in options],
        [(_key(alias), one.name) for one in options for alias in one.aliases],
    ):
        meant: dict[str, set[str]] = {}
        for key, name in spellings:
            meant.setdefault(key, set()).add(name)
        one_each = {key: min(names) for key, names in meant.items() if len(names) == 1}
        known = {**one_each, **known}
    return known


def _key(name: str) -> str:
    """What a name is recognised by, however it is written."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(re.findall(r"\w+", folded))


def one_spelling(names: Sequence[str]) -> dict[str, str]:
    """For each name the spelling that is most usual among them, of equals the first."""
    spelt: dict[str, dict[str, int]] = {}
    for name in names:
        counts = spelt.setdefault(_key(name), {})
        counts[name] = counts.get(name, 0) + 1
    return {name: max(spelt[_key(name)].items(), key=lambda one: one[1])[0] for name in names}
