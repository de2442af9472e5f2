"""From a model's answer to a permutation: total, and it says how much it repaired.

It never raises, and never loses, invents or repeats an option: what the answer leaves out comes
after what it names, in retrieval order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rar_agent.ranking.options import LETTERS

LONGEST = 20_000
"""Characters of an answer that are read."""

_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_LINE = re.compile(r"^\W*(?:\d{1,2}\s*[.):\]-]\s*)?(?P<rest>.*)$")
_LETTERED = re.compile(
    r"^\W*(?:option\s+)?(?P<letter>[A-Z])(?:\W*$|\s*[.):\]-]\s+\S)", re.IGNORECASE
)
# Also what is left of a JSON list that was cut off.
_CHAIN = re.compile(r"(?<![A-Za-z'])[A-Z][\"']?(?:\s*[>→,;]\s*[\"']?[A-Z][\"']?)+(?![A-Za-z])")
_SEPARATED = re.compile(r"(?<![A-Za-z])[A-Z](?![A-Za-z])")


_ANSWER = re.compile(
    r"(?i:answer|option|choice)(?i:\s+is)?[\s:*\"']+([A-Z](?![A-Za-z'])|[a-z](?=\W*\Z))"
)  # a small letter before a word is an article

Reading = list[int | None]
"""Options in the order of a reading; None for what was never shown."""


@dataclass(frozen=True)
class Parsed:
    """What an answer says.

    Attributes:
        options: Distinct options it names, best first; may be fewer than were shown.
        status: `exact`: each option once and nothing else; `failed`: none.
        repairs: Options missing, repeated or not shown.
    """

    options: tuple[int, ...]
    status: Literal["exact", "repaired", "failed"]
    repairs: int


def parse_ranking(text: str, names: Sequence[Sequence[str]]) -> Parsed:
    """Read a ranking out of an answer in JSON, or in whatever it came.

    Args:
        text: The answer.
        names: Of each option, in the order shown: its name and aliases.
    """
    text = _THOUGHT.sub(" ", text[:LONGEST])
    for read in (_from_json, _from_letters, _from_lines, _from_answer, _from_names):
        readings = [reading for reading in read(text, names) if _named(reading)]
        if readings:
            # The fullest one, and of equals the last: what comes before it is thinking aloud.
            found = max(reversed(readings), key=lambda reading: len(_named(reading)))
            options = _named(found)
            extra = len(found) - len(options)  # repeated or never shown
            repairs = extra + len(names) - len(options)
            return Parsed(options, "repaired" if repairs else "exact", repairs)
    return Parsed((), "failed", len(names))


def _named(reading: Reading) -> tuple[int, ...]:
    """Distinct options of a reading, in its order."""
    return tuple(dict.fromkeys(option for option in reading if option is not None))


def _resolve(token: object, names: Sequence[Sequence[str]]) -> int | None:
    """The option that a token means: its letter, its name or an alias."""
    text = str(token).strip()
    alone = re.fullmatch(r"\W*([A-Za-z])\W*", text)
    if alone:  # letters were asked for, so a category named "B" does not claim one
        return _letter(alone[1], names)
    folded = _fold(text)
    for option, own in enumerate(names):
        if folded and folded in {_fold(name) for name in own}:
            return option
    lettered = _LETTERED.match(text)
    return _letter(lettered["letter"], names) if lettered else None


def _letter(letter: str, names: Sequence[Sequence[str]]) -> int | None:
    position = LETTERS.index(letter.upper())
    return position if position < len(names) else None


def _from_json(text: str, names: Sequence[Sequence[str]]) -> list[Reading]:
    """Every JSON value in the answer."""
    decoder = json.JSONDecoder()
    readings: list[Reading] = []
    place = 0
    while found := re.compile(r"[\[{]").search(text, place):
        try:
            value, place = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            place = found.start() + 1
            continue
        readings.append([_resolve(token, names) for token in _tokens(value)])
    return readings


def _tokens(value: object) -> list[object]:
    """The list in a decoded value: itself, its `ranking`, its first list, or its texts."""
    if isinstance(value, dict):
        lists = [v for v in (value.get("ranking"), *value.values()) if isinstance(v, list)]
        value = lists[0] if lists else [v for v in value.values() if isinstance(v, str)]
    return list(value) if isinstance(value, list) else []


def _from_letters(text: str, names: Sequence[Sequence[str]]) -> list[Reading]:
    """Letters and separators, such as `B > A > C` or `[B, A, C]`, wherever they stand."""
    readings: list[Reading] = []
    for part in (text, *re.findall(r"\[([^\[\]]*)\]", text), *text.splitlines()):
        words = re.findall(r"[^\W\d_]+", part)
        if words and all(len(word) == 1 for word in words) and (len(words) > 1 or part is text):
            readings.append([_resolve(word, names) for word in words])
    for chain in _CHAIN.finditer(text):
        readings.append([_resolve(letter, names) for letter in _SEPARATED.findall(chain[0])])
    return readings


def _from_lines(text: str, names: Sequence[Sequence[str]]) -> list[Reading]:
    """A list with one option a line, numbered or lettered; other lines are talk."""
    rests = (_LINE.match(line) for line in text.splitlines())
    found = [_resolve(rest["rest"], names) for rest in rests if rest]
    options: Reading = [option for option in found if option is not None]
    return [options] if len(options) > 1 else []


def _from_answer(text: str, names: Sequence[Sequence[str]]) -> list[Reading]:
    """A single letter said to be the answer."""
    return [[_resolve(letter, names)] for letter in _ANSWER.findall(text)]


def _from_names(text: str, names: Sequence[Sequence[str]]) -> list[Reading]:
    """Names in running text, by where each is first mentioned; longer names hide shorter ones."""
    folded = _fold(text)
    spoken = sorted(
        ((_fold(name), option) for option, own in enumerate(names) for name in own),
        key=lambda pair: -len(pair[0]),
    )
    places: dict[int, int] = {}
    for name, option in spoken:
        if not name:
            continue
        pattern = rf"(?<!\w){re.escape(name)}(?!\w)"
        found = re.search(pattern, folded)
        if found:
            places[option] = min(found.start(), places.get(option, len(folded)))
            folded = re.sub(pattern, lambda m: "\0" * len(m[0]), folded)
    return [[option for _, option in sorted((place, option) for option, place in places.items())]]


def _fold(text: str) -> str:
    text = text.casefold().replace("\u2019", "'").replace("_", " ")
    return re.sub(r"\s+", " ", text).strip(" \"'`.*")
