"""A multimodal LLM asked by itself, without retrieval: among as many names as fit, or for any."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from rar_agent.errors import BudgetError, ConfigurationError, ProviderError
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
_LONGEST_NAME, _MOST_WORDS = 100, 10  # of a line that is a name, and no sentence
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
        self._known = {
            _key(name): one.name for one in reversed(options) for name in (*one.aliases, one.name)
        }

    def ask(self, images: Sequence[AdmittedImage]) -> Iterator[Named | ProviderError]:
        """Ask about images, at the same time as far as the model allows.

        Yields:
            What became of each, in order, as soon as it is known; an error where the model could
            not be asked.

        Raises:
            BudgetError: The limit on what may be spent is reached.
        """
        going = [Call(self._named(self.question(image))) for image in images]
        try:
            for call in going:
                yield call.done.result()
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
        except BudgetError:
            raise
        except ProviderError as error:
            return error
        return self._read(said)

    def _read(self, said: Said) -> Named:
        heard = list(spoken_names(said.text))
        if self._options:
            found = [self._known.get(_key(name)) for name in heard]
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


def spoken_names(text: str) -> Iterator[str]:
    """Names in an answer, best first: the strings of its JSON, else its lines.

    Args:
        text: The answer, in whatever form it came.
    """
    text = without_thoughts(text)[-LONGEST:]
    from_json = [name for value in json_values(text) for name in _strings(value)]
    lines = (re.sub(r"^[\s\-*•]*(?:\d{1,2}[.):]\s*)?", "", line) for line in text.splitlines())
    for name in from_json or lines:
        tidy = " ".join(re.sub(r"[*`\"“”]+", "", name).split()).rstrip(" .,;")
        words = len(re.findall(r"\w+", tidy))
        if len(tidy) <= _LONGEST_NAME and 0 < words <= _MOST_WORDS:
            yield tidy


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
