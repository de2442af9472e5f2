"""JSON in an answer, in whatever form it says a ranking."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

MOST_TRIES = 200
"""Brackets of an answer at which a JSON value may begin."""

_OPENING = re.compile(r"[\[{]")


def json_values(text: str) -> Iterator[object]:
    """Every JSON list and object in a text, in order; of nested ones the outermost."""
    decoder = json.JSONDecoder()
    place = 0
    for _ in range(MOST_TRIES):
        found = _OPENING.search(text, place)
        if not found:
            return
        try:
            value, place = decoder.raw_decode(text, found.start())
        except ValueError:
            place = found.start() + 1
        except RecursionError:
            return
        else:
            yield value


def tokens_in(value: object, resolve: Callable[[object], int | None]) -> list[object]:
    """What a value lists: letters or names, best first.

    Args:
        value: Decoded.
        resolve: The option that a token means.
    """
    if isinstance(value, list):
        return [token for item in value for token in _item(item, resolve)]
    if not isinstance(value, dict):
        return []
    if value.get("ranking"):
        return tokens_in(value["ranking"], resolve)
    numbers = {key: v for key, v in value.items() if isinstance(v, int | float)}
    if len(numbers) == len(value) > 1 and all(resolve(key) is not None for key in value):
        places = sorted(numbers.values()) == list(range(1, len(numbers) + 1))
        return sorted(numbers, key=lambda key: numbers[key] if places else -numbers[key])
    tokens: list[object] = []
    for part in value.values():
        if isinstance(part, str):
            tokens += [part] if resolve(part) is not None else []
        else:
            tokens += tokens_in(part, resolve)
    return tokens


def _item(item: object, resolve: Callable[[object], int | None]) -> list[object]:
    """An item of a list is one token, however much is said about it."""
    if isinstance(item, dict):
        said = [v for v in item.values() if isinstance(v, str)]
        return (
            [next((v for v in said if resolve(v) is not None), said[0])]
            if said
            else (tokens_in(item, resolve))
        )
    if isinstance(item, list):
        return tokens_in(item, resolve)
    return [item]
