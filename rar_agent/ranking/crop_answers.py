"""From one answer about several crops to what it says of each: total, as the parser of one is.

What stands under a crop's number is an answer about that crop alone; what stands under no number,
or under one that was not shown, is about none. So a crop that the answer leaves out has failed, and
never gets what was said of another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from rar_agent.ranking.json_answers import json_values
from rar_agent.ranking.parser import LONGEST, Names, Parsed, parse_ranking, without_thoughts

_CROP = r"(?P<crop>crop|image|picture|photo|object|bild|foto|imagen)s?"
_KEY = re.compile(rf"\W*(?:{_CROP}[\W_]*)?(?P<number>\d{{1,4}})\W*", re.IGNORECASE)
_OWN = re.compile(rf"{_CROP}(?:[\W_]*(?:number|no|id))?|number", re.IGNORECASE)
_LIST = re.compile(r"(?<![\w.])(?P<number>\d{1,4})[\"']?\s*:\s*(?=\[)")
_WORDED = re.compile(rf"{_CROP}[^\w\n]{{0,4}}(?P<number>\d{{1,4}})(?!\w)", re.IGNORECASE)
_LINE = re.compile(r"^[^\w\n{\[\"']*(?P<number>\d{1,4})[^\w\n:]{0,3}:", re.MULTILINE)


class _Said(NamedTuple):
    """What is said under a number, and how many options it has to name to be an order.

    A single one under a bare number may be the first, second, third of one crop instead.
    """

    number: int
    text: str
    least: int = 1


def parse_crops(text: str, names: Sequence[Names]) -> list[Parsed]:
    """Read a ranking of each crop out of an answer about all of them.

    Args:
        text: The answer.
        names: Of each crop, and there of each option in the order shown: its name and aliases.

    Returns:
        One for each crop, in order.
    """
    text = without_thoughts(text)[-LONGEST:]
    found: dict[int, Parsed] = {}
    for read in (_from_json, _from_lists, _from_words, _from_lines):
        for said in read(text):
            if not 1 <= said.number <= len(names):
                continue
            parsed = parse_ranking(said.text, names[said.number - 1])
            before = found.get(said.number)
            # The fullest one, and of equals the last: what comes before it is thinking aloud.
            least = max(said.least, len(before.options) if before else 0)
            if len(parsed.options) >= least:
                found[said.number] = parsed
        if found:
            break
    return [
        found.get(number, Parsed((), "failed", len(own))) for number, own in enumerate(names, 1)
    ]


def _from_json(text: str) -> Iterator[_Said]:
    """Objects whose keys are crops' numbers, or that have one beside its ranking."""
    try:
        for value in json_values(text):
            yield from _numbered(value)
    except RecursionError:  # objects in objects in objects
        return


def _numbered(value: object) -> Iterator[_Said]:
    if isinstance(value, list):
        for item in value:
            yield from _numbered(item)
    if not isinstance(value, dict):
        return
    keys = {key: matched for key in value if (matched := _KEY.fullmatch(key))}
    for key, matched in keys.items():
        bare = isinstance(value[key], str) and not matched["crop"]
        yield _Said(int(matched["number"]), _text(value[key]), 2 if bare else 1)
    if keys:
        return
    own, rest = _own_number(value)
    if own:
        yield _Said(own, _text(rest))
        return
    for part in value.values():
        yield from _numbered(part)


def _own_number(value: Mapping[str, object]) -> tuple[int, dict[str, object]]:
    """Number of an object such as `{"crop": 1, "ranking": […]}`, and its rest; 0: it has none."""
    for key, part in value.items():
        matched = _KEY.fullmatch(str(part)) if isinstance(part, int | str) else None
        if matched and _OWN.fullmatch(key):
            return int(matched["number"]), {k: v for k, v in value.items() if k != key}
    return 0, {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _from_lists(text: str) -> Iterator[_Said]:
    """Lists under their numbers, in JSON that is broken or was cut off."""
    for said in _sections(text, _LIST):
        listed = re.match(r"\[[^\[\]{}]*\]?", said.text)
        yield _Said(said.number, listed[0] if listed else "")


def _from_words(text: str) -> Iterator[_Said]:
    """What stands after `Crop 1`, up to the next crop."""
    return _sections(text, _WORDED)


def _from_lines(text: str) -> Iterator[_Said]:
    """What stands after `1:` where a line begins, up to the next number."""
    return (said._replace(least=2) for said in _sections(text, _LINE))


def _sections(text: str, mark: re.Pattern[str]) -> Iterator[_Said]:
    marks = list(mark.finditer(text))
    for each, end in zip_longest(marks, [each.start() for each in marks[1:]]):
        yield _Said(int(each["number"]), text[each.end() : end])
